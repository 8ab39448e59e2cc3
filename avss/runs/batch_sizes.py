"""What to do where memory runs out: how to tell, and fewer documents at a time."""

import sys
from collections.abc import Callable
from typing import TypeVar

from avss.errors import InputError

Result = TypeVar("Result")
# As torch's allocators say it, the driver, and cuBLAS.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the error says that memory ran out, of an accelerator or of the machine; not all are of one class."""
    return any(words in str(error) for words in OUT_OF_MEMORY)


class BatchSizes:
    """How many documents of a row run at a time, by what runs them; for good halved where they did not fit."""

    def __init__(self, row: str, size: int):
        self.row, self.size, self.sizes = row, size, {}

    def run(self, what: str, work: Callable[[int], Result]) -> Result:
        """`work(batch_size)`, with half of it as long as memory runs out. Raises `InputError` where one is too many."""
        # Imported where it is used, so that `readiness` can say in one line that it is missing.
        import torch
        from accelerate.utils import find_executable_batch_size

        def halved() -> int:
            self.sizes[what] //= 2
            if self.sizes[what]:
                left = f"goes on with {self.sizes[what]} documents at a time"
                print(f"{self.row}: {what} ran out of memory and {left}", file=sys.stderr)
            return self.sizes[what]

        size = self.sizes.setdefault(what, self.size)

        def tried(size: int) -> Result:
            try:
                return work(size)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                # The words that accelerate goes by.
                raise torch.OutOfMemoryError(f"CUDA out of memory. {error}") from None

        # Accelerate collects garbage before each try, which takes longer than the work of a small model.
        try:
            return tried(size)
        except torch.OutOfMemoryError:
            pass
        # Without a function of ours accelerate would take off a tenth.
        run = find_executable_batch_size(tried, starting_batch_size=halved(), reduce_batch_size_fn=halved)
        try:
            return run()
        except RuntimeError as error:
            if self.sizes[what]:
                raise
            raise InputError(
                f"row {self.row}: {what} runs out of memory with one document at a time; "
                f"give the row a smaller context, or take a larger device"
            ) from error
