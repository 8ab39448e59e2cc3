"""Batch sizes when memory runs out: they are halved until one fits."""

import sys
from collections.abc import Callable
from typing import TypeVar

from avss.errors import InputError, is_out_of_memory

Result = TypeVar("Result")


class BatchSizes:
    """The batch size of each step of a row. After an out-of-memory error it is halved and stays halved."""

    def __init__(self, row: str, size: int):
        self.row, self.size, self.sizes = row, size, {}

    def run(self, step: str, work: Callable[[int], Result]) -> Result:
        """`work(batch_size)`, with half of it as long as memory runs out. Raises `InputError` where one is too many."""
        from accelerate.utils.memory import clear_device_cache

        size = self.sizes.setdefault(step, self.size)
        while True:
            try:
                return work(size)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise InputError(
                        f"row {self.row}: {step} runs out of memory with one document at a time; "
                        f"give the row a smaller context, or take a larger device"
                    ) from error
            # Outside of the handler, whose error keeps tensors alive.
            self.sizes[step] = size = size // 2
            print(f"{self.row}: {step} ran out of memory and goes on with {size} documents at a time", file=sys.stderr)
            clear_device_cache(garbage_collection=True)
