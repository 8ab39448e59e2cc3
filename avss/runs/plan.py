"""What a profile will take, before it is started: time, memory and disk of each row, from its models' configs alone.

A pass over text is bound either by its operations or by reading the weights once a batch. Operations are those of the
matrix products: twice the weights for each token, and four times the width of attention for each pair of tokens, of
which a causal mask saves nothing here. A backward pass for activations alone costs the same once more, and attention
twice. What is counted is written out in `ASSUMPTIONS`.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from avss import data, models, selection
from avss.architectures import blocks_of
from avss.engine.branches import branches_of
from avss.errors import InputError
from avss.methods.catalogue import Work, method_named
from avss.models import DTYPES
from avss.reading import Reading
from avss.runs import preflight
from avss.runs.cells import cells
from avss.runs.context import usable_data
from avss.runs.profile import Row
from avss.tasks.catalogue import task_named

# The share of a device's matrix rate that a model reaches.
UTILISATION = 0.5
# The share of an accelerator's free memory that a device map fills.
KEPT = 0.9
# Seconds that a plan counts in full.
LONGEST = 30 * 86400
ASSUMPTIONS = (
    f"time: {UTILISATION:.0%} of the matrix rate; every document as long as the profile says, at most its context; "
    "every choice of layers another one, evaluated on its own; without downloads and loading",
    "memory: the weights, and the batch that needs most; where it does not fit, the batch is halved",
    "disk: checkpoints, and data twice (as downloaded and unpacked); what rows share counts once",
)


@dataclass(frozen=True)
class Rate:
    """What a device does in a second: operations (a multiplication and an addition are two), and bytes read."""

    operations: float
    bytes: float


@dataclass(frozen=True)
class Size:
    """The numbers of a model that its cost follows from.

    blocks: M. width: features of the hidden state. inner: those of the feed-forward branch. heads: of attention;
    attended: their features together. vocabulary: 0 where no token is predicted. block, head: weights in the matrix
    products of a block and of the head. parameters: all of them, tied ones once. stored: bytes of the checkpoint.
    """

    blocks: int
    width: int
    inner: int
    heads: int
    attended: int
    vocabulary: int
    block: int
    head: int
    parameters: int
    stored: int


@dataclass(frozen=True)
class Text:
    """What runs through the model: documents of this many tokens each, so many at a time."""

    documents: int
    tokens: int
    batch: int

    @property
    def batches(self) -> int:
        return math.ceil(self.documents / self.batch)


@dataclass(frozen=True)
class Estimate:
    """What one row takes. scoring, evaluation: seconds. memory: bytes on the device. disk: bytes of model and data."""

    row: Row
    size: Size
    scoring: float
    evaluation: float
    memory: int
    disk: int


def size_of(model: nn.Module) -> Size:
    """The size of a model, which may be without weights. Raises `InputError` for a family without plain branches."""
    blocks, config, names = blocks_of(model), model.config, branches_of(model)[0]
    products = sum(parameter.numel() for parameter in blocks[0].parameters() if parameter.ndim == 2)
    head = model.get_output_embeddings()
    return Size(
        blocks=len(blocks),
        width=config.hidden_size,
        inner=blocks[0].get_submodule(names.mlp).weight.numel() // config.hidden_size,
        heads=config.num_attention_heads,
        attended=blocks[0].get_submodule(names.attention).weight.numel() // config.hidden_size,
        vocabulary=0 if head is None else config.vocab_size,
        block=products,
        head=0 if head is None else head.weight.numel(),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        stored=preflight.stored_bytes(model),
    )


def work(method: str, blocks: int, removed: int) -> Work:
    """The runs of a method on one batch, in a model of M blocks of which it removes so many, or all but one."""
    return method_named(method).work(blocks, min(removed, blocks - 1))


def seconds(row: Row, size: Size, text: Text, runs: tuple[int, int, int, int], rate: Rate) -> float:
    """The time of these runs over the text, given as `work` gives them."""
    forwards, backwards, head_forwards, head_backwards = runs
    tokens = text.documents * text.tokens
    products = 2 * size.block * (forwards + backwards) + 2 * size.head * (head_forwards + head_backwards)
    attention = 4 * text.tokens * size.attended * (forwards + 2 * backwards)
    weights = size.block * (forwards + backwards) + size.head * (head_forwards + head_backwards)
    computing = tokens * (products + attention) / (UTILISATION * rate.operations)
    return max(computing, text.batches * weights * DTYPES[row.dtype].itemsize / rate.bytes)


def scoring_seconds(row: Row, size: Size, rate: Rate) -> float:
    """All methods on all seeds, each selection rule anew; a method whose losses are cached by another runs nothing."""
    total, removed = 0.0, selection.count_of(row.remove, size.blocks)
    most = max([removed, *(selection.count_of(at, size.blocks) for at in row.curve)])
    for method, reading, rule, _, at, compensated in cells(row)[1:]:
        # The points of a curve are of the same scores, but for those of a window; compensation takes stored choices.
        scored = not compensated and (at is None or "window" in method_named(method).options)
        if not scored or (rule == "lowest" and method_named(method).cached_by in row.methods):
            continue
        text = _calibration(row, reading)
        for turn in range(most if rule == "iterative" else 1):
            total += seconds(row, size, text, work(method, size.blocks - turn, removed), rate)
    return total


def evaluation_seconds(row: Row, size: Size, rate: Rate) -> float:
    """The whole model once, and one without layers for every choice that may be another."""
    choices = {cell if method_named(cell.method).depends_on_seed else cell._replace(seed=0) for cell in cells(row)[1:]}
    amounts = [row.remove if cell.at is None else cell.at for cell in choices]
    fewer = [size.blocks - selection.count_of(amount, size.blocks) for amount in amounts]
    return sum(_one_evaluation(row, size, blocks, rate) for blocks in (size.blocks, *fewer))


def _one_evaluation(row: Row, size: Size, blocks: int, rate: Rate) -> float:
    documents, task = _documents(row), task_named(row.task)
    context = row.context or task.context
    tokens = row.tokens or context
    if task.windows:
        windows = math.ceil(documents * tokens / context)
        return seconds(row, size, Text(windows, context, row.batch_size), (blocks, 0, 1, 0), rate)
    # The head runs at the last tokens alone.
    reading = seconds(row, size, Text(documents, min(tokens, context), row.batch_size), (blocks, 0, 0, 0), rate)
    return reading + task.generated * seconds(row, size, Text(documents, 1, row.batch_size), (blocks, 0, 1, 0), rate)


def _documents(row: Row) -> int:
    if row.documents is None and data.on_hub(row.data):
        raise InputError(f"row {row.id} is evaluated on all of {row.data}; a plan needs their number in `documents`")
    return row.documents or len(usable_data(row, "evaluation")[0])


def _calibration(row: Row, reading: str) -> Text:
    context = row.context or task_named(row.task).context
    filled = reading != "none" and Reading.parse(reading).padding == "included"
    return Text(row.samples, context if filled else min(row.tokens or context, context), row.batch_size)


def memory(row: Row, size: Size, batch: int, methods: Iterable[str]) -> int:
    """Bytes of the weights, and of what these methods and the evaluation need beside them for one batch.

    A block's working set is six hidden states and three of the feed-forward branch. Logits are there in the model's
    dtype and twice in float32, or four times where there is a gradient. For a gradient are kept, of every block, what
    enters its two norms in float32, the block's input, queries, keys, values and what attention makes of them, and
    three of the feed-forward branch; LRP keeps the attention weights as well, in float32 and in the model's dtype.
    """
    each, tokens = DTYPES[row.dtype].itemsize, batch * (row.context or task_named(row.task).context)
    running = tokens * (6 * size.width + 3 * size.inner) * each
    logits = tokens * size.vocabulary
    kept = tokens * (8 * size.width + (size.width + 4 * size.attended + 3 * size.inner) * each)
    attention = tokens * (tokens // batch) * size.heads * (4 + each)
    needed = [running + (logits * (each + 8) if task_named(row.task).windows else 0)]
    for method in methods:
        _, backwards, head, _ = work(method, size.blocks, selection.count_of(row.remove, size.blocks))
        per_block = (kept + (attention if method_named(method).keeps_attention else 0)) if backwards else 0
        of_logits = logits * (each + (16 if backwards else 8)) if head else 0
        needed.append(running + size.blocks * per_block + of_logits)
    return size.parameters * each + max(needed)


def estimate(row: Row, size: Size, rate: Rate) -> Estimate:
    """The row's time, memory and disk. Raises `InputError` where it does not say how many documents it has."""
    return Estimate(
        row,
        size,
        scoring_seconds(row, size, rate),
        evaluation_seconds(row, size, rate),
        memory(row, size, row.batch_size, row.methods),
        size.stored * models.on_hub(row.checkpoint) + 2 * row.data_bytes,
    )


def sizes(rows: Iterable[Row]) -> dict[str, Size]:
    """The size of every checkpoint of these rows. Raises `InputError` as `avss.models.skeleton`."""
    wanted = {row.checkpoint: row for row in rows}
    return {
        name: size_of(models.skeleton(name, revision=row.revision, shape=row.shape)) for name, row in wanted.items()
    }


def measured(device: str, dtype: str) -> Rate:
    """The rate of one matrix product and of one copy on this device, the best of five."""
    side, length = (8192, 1 << 28) if device.startswith("cuda") else (1024, 1 << 25)
    matrix = torch.ones(side, side, dtype=DTYPES[dtype], device=device)
    source = torch.ones(length, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = torch.empty_like(matrix)
    return Rate(
        2 * side**3 / _best(lambda: torch.mm(matrix, matrix, out=product), device),
        2 * length / _best(lambda: target.copy_(source), device),
    )


def _best(run: Callable[[], object], device: str) -> float:
    taken = []
    for _ in range(6):
        began = time.perf_counter()
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    # The first one warms up.
    return min(taken[1:])


def device_bytes(device: str) -> int:
    """The free memory of all accelerators together, less what accelerate keeps back, or the memory of this machine."""
    if device.startswith("cuda"):
        # What measuring the device left in torch's cache is free.
        torch.cuda.empty_cache()
        return sum(int(KEPT * torch.cuda.mem_get_info(index)[0]) for index in range(torch.cuda.device_count()))
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def too_large(estimates: Sequence[Estimate], available: int) -> list[str]:
    """One line for every model of which not even one document fits into this many bytes."""
    needed = {found.row.checkpoint: memory(found.row, found.size, 1, ()) for found in estimates}
    return [
        f"model {name} needs {human(size, 'B')} of memory for one document at a time, and there are "
        f"{human(available, 'B')}; run it on a larger device, or on several"
        for name, size in needed.items()
        if size > available
    ]


def report(profile: str, estimates: Sequence[Estimate], device: str = "") -> Iterator[str]:
    """The lines of a table of these rows, their total, and what it assumes.

    device: where the times are for; a CPU that would take longer than `LONGEST` is said to be unable to run the rows.
    """
    lines = [("row", "blocks", "parameters", "commit", "scoring", "evaluation", "memory", "disk")]
    for found in estimates:
        row, size = found.row, found.size
        lines.append(
            (
                row.id,
                str(size.blocks),
                human(size.parameters, ""),
                (row.revision or "not pinned")[:10] if models.on_hub(row.checkpoint) else "local",
                duration(found.scoring),
                duration(found.evaluation),
                human(found.memory, "B"),
                human(found.disk, "B"),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *others in lines:
        right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *right])
    whole = sum(found.scoring + found.evaluation for found in estimates)
    shared = {found.row.checkpoint: found.disk - 2 * found.row.data_bytes for found in estimates}
    shared |= {found.row.data: 2 * found.row.data_bytes for found in estimates}
    yield (
        f"profile {profile}: {len(estimates)} rows, {duration(whole)}, up to "
        f"{human(max(found.memory for found in estimates), 'B')} of memory, {human(sum(shared.values()), 'B')} of disk"
    )
    slow = [found.row.id for found in estimates if found.scoring + found.evaluation > LONGEST]
    if device == "cpu" and slow:
        yield (
            f"a CPU cannot run {', '.join(slow)} in a month; run the plan on the machine with the GPU, or describe "
            "that GPU with --flops and --bandwidth"
        )
    yield from ASSUMPTIONS


def human(number: float, unit: str) -> str:
    """A number with three digits and an SI prefix: 16.1 GB."""
    for prefix, scale in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= scale:
            return f"{number / scale:.3g} {prefix}{unit}"
    return f"{number:.3g} {unit}".rstrip()


def duration(time: float) -> str:
    """Seconds in the unit that suits them: 40 s, 3.1 h. More than a month is only said to be so."""
    if time > LONGEST:
        return "over a month"
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if time >= 2 * length:
            return f"{time / length:.1f} {unit}"
    return f"{math.ceil(time)} s"
