"""The cost of AVSS scoring, compared with a bare forward pass and with two other ways to compute such statistics.

    python bench/scoring.py --out bench/results/scoring-cpu.json
    python bench/scoring.py --device cuda --dtype bfloat16 --sweeps shape --out bench/results/scoring-cuda.json

The usual way keeps the hidden states of all text (`output_hidden_states=True`) and takes statistics at the end. The
released scripts' way pads every document to the longest allowed, keeps the activations of a batch, and moves each of
its numbers to the host. All ways run the same randomly initialised model without head, in one process, in rounds of
changing order. The sweeps vary the model's width, its blocks, the number of documents, their length where the
released scripts pad, and the shapes of the paper's models. Memory is that of the tensors, in a run of its own.
"""

import statistics
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from avss.architectures import place_of
from avss.runs.plan import Rate, measured, size_of
from measuring import MIB, live_peak, llama, ragged, rounds, shaped, shapes, spread, text
from measuring.command import Record, add_rounds, begin, command
from measuring.ways import WAYS, padded

VOCABULARY = 1024


class _Passing(nn.Module):
    """A block that does nothing. Scoring a model of such blocks takes only the time of the statistics."""

    def forward(self, hidden_states: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        return hidden_states


def beside(model: nn.Module, batches: list[dict], repeats: int, device: str) -> list[float]:
    """Seconds of scoring without the blocks: scoring with blocks that do nothing, minus a bare pass over them."""
    place = place_of(model)
    place.put(nn.ModuleList(_Passing() for _ in place.blocks))
    try:
        runs = {name: lambda way=WAYS[name]: way(model, batches) for name in ("bare", "avss")}
        taken = rounds(runs, repeats, device, float("inf"))
    finally:
        place.put(place.blocks)
    return [scored - passed for passed, scored in zip(taken["bare"], taken["avss"], strict=True)]


def waits(way: Callable, model: nn.Module, batch: dict) -> float:
    """How often the host waits for the accelerator in each batch after the first, from profiles of one and of three."""

    def counted(batches: list[dict]) -> int:
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
            way(model, batches)
        return sum(event.count for event in recorded.key_averages() if "Synchronize" in event.key)

    counted([batch])
    return (counted([batch] * 3) - counted([batch])) / 2


def operations(model: nn.Module, batches: list[dict]) -> int:
    """Operations in the matrix products of one pass without head. A causal mask saves none."""
    size, shapes_run = size_of(model), [batch["input_ids"].shape for batch in batches]
    each = [rows * columns * (2 * size.block + 4 * columns * size.attended) for rows, columns in shapes_run]
    return size.blocks * sum(each)


def measure(model: nn.Module, batches: list[dict], limit: int, rate: Rate, arguments, **common) -> Iterator[dict]:
    """One row a way. limit: the length that the released scripts pad to."""
    texts = dict.fromkeys(arguments.ways, batches)
    if "released" in texts:
        texts["released"] = padded(batches, limit)
    runs = {name: lambda name=name: WAYS[name](model, texts[name]) for name in texts}
    taken = rounds(runs, arguments.repeats, arguments.device, arguments.patience)
    peaks = {name: live_peak(run, arguments.device) for name, run in runs.items()}
    weights = sum(parameter.nbytes for parameter in model.parameters())
    size, tokens = size_of(model), int(sum(batch["attention_mask"].sum() for batch in batches))
    common |= {"width": size.width, "blocks": size.blocks, "weights_mib": round(weights / MIB, 3), "tokens": tokens}
    for name, seconds in taken.items():
        row = {"name": f"{common['sweep']}-{common['at']}-{name}"} | common | {"way": name, "repeats": len(seconds)}
        row |= spread("seconds", seconds)
        row |= spread("time_ratio", [own / bare for bare, own in zip(taken["bare"], seconds, strict=True)])
        extra, middle = peaks[name] - peaks["bare"], statistics.median(seconds)
        row |= {"peak_mib": round(peaks[name] / MIB, 3), "extra_mib": round(extra / MIB, 3)}
        row |= {"extra_share": round(extra / weights, 5), "tokens_per_second": round(tokens / middle, 1)}
        row["matrix_share"] = round(operations(model, texts[name]) / middle / rate.operations, 4)
        read = len(batches) * size.blocks * size.block * model.dtype.itemsize
        row["bandwidth_share"] = round(read / middle / rate.bytes, 4)
        if name == "avss":
            apart = beside(model, batches, arguments.repeats, arguments.device)
            read = size.blocks * sum(batch["input_ids"].numel() for batch in batches) * size.width
            row |= spread("beside_seconds", apart, 5)
            row["beside_ratio"] = round(1 + statistics.median(apart) / statistics.median(taken["bare"]), 4)
            bandwidth = read * model.dtype.itemsize / statistics.median(apart) / rate.bytes
            row["beside_bandwidth_share"] = round(bandwidth, 4)
        if arguments.device == "cuda":
            row["waits_per_batch"] = waits(WAYS[name], model, batches[0])
        yield row


def settings(sweep: str, arguments) -> Iterator[tuple[object, Callable[[], nn.Module], list[int], int, int]]:
    """For each point of a sweep: the point, what makes the model, lengths of documents, batch size and limit."""

    def made(width: int, blocks: int) -> Callable[[], nn.Module]:
        return lambda: llama(width, blocks, 512, VOCABULARY, arguments.device, arguments.dtype)

    if sweep == "width":
        for width in arguments.widths:
            yield width, made(width, 16), ragged(32, 128), 8, 128
    if sweep == "blocks":
        for blocks in arguments.blocks:
            yield blocks, made(256, blocks), ragged(32, 128), 8, 128
    if sweep == "samples":
        for samples in arguments.samples:
            yield samples, made(256, 4), [512] * samples, 8, 512
    if sweep == "length":
        for length in arguments.lengths:
            yield length, made(256, 8), [length] * 64, 8, 128
    if sweep == "shape":
        for name in arguments.shapes:
            model = lambda name=name: shaped(name, arguments.device, arguments.dtype)  # noqa: E731
            yield name, model, [2048] * 8, 1, 2048


def main() -> None:
    parser = command(__doc__)
    add_rounds(parser, repeats=9, patience=450, limited="the rounds of a setting")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    sweeps = ["width", "blocks", "length", "samples", "shape"]
    parser.add_argument("--sweeps", nargs="+", choices=sweeps, default=sweeps[:-1])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--blocks", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 32, 64, 128], help="tokens of all documents")
    parser.add_argument("--samples", type=int, nargs="+", default=[128, 256, 512, 1024], help="of 512 tokens each")
    parser.add_argument("--shapes", nargs="+", choices=shapes(), default=list(shapes()), help="at 2,048 tokens")
    arguments = begin(parser)
    arguments.ways = list(dict.fromkeys(["bare", *arguments.ways]))
    rate = measured(arguments.device, arguments.dtype)
    setting = {"sweeps": ", ".join(arguments.sweeps), "vocabulary": VOCABULARY}
    limits = {"matrix_per_second": rate.operations, "copied_bytes_per_second": rate.bytes}
    record = Record(arguments, setting, limits=limits)
    for sweep in arguments.sweeps:
        for at, made, lengths, batch, limit in settings(sweep, arguments):
            model, batches = made(), text(lengths, batch, VOCABULARY, arguments.device)
            common = {"sweep": sweep, "at": at, "documents": len(lengths), "length": limit}
            for row in measure(model, batches, limit, rate, arguments, **common):
                record.add(row)
            # Before the next one is made: two of the largest models may not fit into memory together.
            del model, batches


if __name__ == "__main__":
    main()
