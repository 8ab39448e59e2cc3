"""One observation shared by several processes: each rank runs its part of the batches, all get the moments of all.

The processes are those of `torch.distributed`, as `torchrun` and `accelerate launch` start them, each with the whole
model. Every rank is given the same batches; rank r of R runs those numbered r, r + R, r + 2R and so on. Nothing travels
before the end. Then the moments of all ranks, in rank order, merge exactly, and documents return to their order.
"""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import torch
from torch import distributed

from avss.errors import InputError
from avss.moments import Moments

# How long the other ranks wait for the slowest one.
PATIENCE = timedelta(days=1)


def joined() -> tuple[int, int]:
    """This process's rank and the number of ranks; (0, 1) for a process on its own.

    Under `torchrun` the group of processes is formed here, where the caller has not done so.
    """
    if not distributed.is_available():
        return 0, 1
    if distributed.is_torchelastic_launched() and not distributed.is_initialized():
        # Python objects alone travel, once at the end. NCCL would send them through the accelerator that is current,
        # the same one in every process. A rank with less to do waits for the others.
        distributed.init_process_group("gloo", timeout=PATIENCE)
        atexit.register(distributed.destroy_process_group)
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def own_device() -> str:
    """Where this process should load its model: an accelerator of its own on this machine, or the CPU.

    Raises `InputError` where there are fewer accelerators than processes.
    """
    if not torch.cuda.is_available():
        return "cpu"
    rank, shown = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    # Where each process is shown one accelerator, that one is number 0 to all of them.
    if 1 < shown <= rank:
        raise InputError(
            f"process {rank} has no accelerator of its own, as there are {shown}; start at most {shown} processes"
        )
    return f"cuda:{rank if shown > 1 else 0}"


@contextmanager
def _gloo() -> Iterator["distributed.ProcessGroup | None"]:
    """All ranks in a group whose objects do not travel through accelerators; None for the default one, if it is such.

    `accelerate launch` forms a group of NCCL.
    """
    if distributed.get_backend() == "gloo":
        yield None
        return
    group = distributed.new_group(backend="gloo", timeout=PATIENCE)
    try:
        yield group
    finally:
        distributed.destroy_process_group(group)


class _Share:
    """The numbered batches of one rank. Reads all of them, because ranks compare whether they were given the same."""

    def __init__(self, batches: Iterable[dict], rank: int, ranks: int):
        self.batches, self.rank, self.ranks = batches, rank, ranks
        self.shapes: list[tuple[int, ...]] = []
        self.sums: list[torch.Tensor] = []

    def __iter__(self) -> Iterator[tuple[int, dict]]:
        for number, batch in enumerate(self.batches):
            ids = batch.get("input_ids", torch.zeros(0, dtype=torch.long))
            self.shapes.append(tuple(ids.shape))
            self.sums.append(ids.sum())
            if number % self.ranks == self.rank:
                yield number, batch

    def seen(self) -> list[tuple]:
        """The shape of every batch and the sum of its token ids."""
        return list(zip(self.shapes, (int(total) for total in self.sums), strict=True))


def together(batches: Iterable[dict], observed: Callable[[Iterable[tuple[int, dict]]], list[Moments]]) -> list[Moments]:
    """The result of `observed` on all batches, shared by all ranks. It maps numbered batches to one `Moments` a layer.

    `observed` may be given no batch, and then returns nothing. An error on one rank is raised on all of them, as it is
    where the user can mend it, else as a `RuntimeError` that names the rank. Raises `InputError` for ranks that were
    given different batches.
    """
    rank, ranks = joined()
    if ranks == 1:
        return observed(enumerate(batches))
    share, found, error = _Share(batches, rank, ranks), [], None
    try:
        found = observed(share)
    except Exception as caught:
        error = caught
    told = error and (type(error).__name__, str(error))
    outcomes = [None] * ranks
    with _gloo() as group:
        distributed.all_gather_object(outcomes, (found, told, None if error else share.seen()), group)
    moments, errors, seen = zip(*outcomes, strict=True)
    _raise_first(errors, error, rank)
    for other, batches_seen in enumerate(seen):
        if batches_seen != seen[0]:
            raise InputError(
                f"ranks 0 and {other} were given different batches; give every rank the same ones, "
                f"in the same order: they are split here"
            )
    return _merged(moments, [shape[0] for shape, _ in seen[0]])


def _raise_first(errors: tuple, own: Exception | None, rank: int) -> None:
    for other, told in enumerate(errors):
        if other == rank and own:
            raise own
        if told:
            kind, text = told
            raise InputError(text) if kind == InputError.__name__ else RuntimeError(f"rank {other}: {kind}: {text}")


def _merged(ranks: tuple[list[Moments], ...], documents: list[int]) -> list[Moments]:
    """Moments of all ranks, with the documents in the order of the batches; batch b holds `documents[b]`."""
    ends = np.cumsum(documents)
    numbered = [np.arange(end - size, end) for end, size in zip(ends, documents, strict=True)]
    dealt = [index for rank in range(len(ranks)) for index in numbered[rank :: len(ranks)]]
    order = np.argsort(np.concatenate(dealt)) if dealt else None
    merged = []
    for layer in zip(*filter(None, ranks), strict=True):
        whole, *others = layer
        for other in others:
            whole = whole.merge(other)
        merged.append(whole.in_order(order))
    return merged
