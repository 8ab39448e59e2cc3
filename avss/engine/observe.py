"""One forward pass over a running model, from activations to moments, storing none of them.

Hooks on the chosen site of every block reduce each activation at once to three numbers a token (sum, sum of squares,
near zeros) and those to one set a document. All sums are in float64, so that bf16 activations lose nothing, and means a
thousand times the spread less than the tested 1e-6. The head is not run.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from avss.architectures import architecture_of, blocks_of
from avss.engine.parallel import together
from avss.errors import InputError
from avss.moments import HISTOGRAM_BINS, HISTOGRAM_END, HISTOGRAM_SHIFT, Moments, merge
from avss.progress import progress
from avss.reading import Reading

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
# Elements turned into float64 at a time: on a CPU few enough to stay in cache, on a GPU enough to fill it.
CHUNK = {"cpu": 1 << 18, "cuda": 1 << 24}

Activation = Callable[[int, Tensor, Tensor | None], None]


def _first(value) -> Tensor:
    return value[0] if isinstance(value, tuple) else value


@contextmanager
def hooked(model: nn.Module, site: str, receive: Activation) -> Iterator[None]:
    """Call `receive(layer, activation, base)` for every block of every forward pass inside the context.

    activation is (batch, tokens, features); base is None, or a tensor to subtract from it (for `block_update`). The
    hooks are removed on exit, whatever happens.
    """
    names = architecture_of(model)

    def attach(layer: int, block: nn.Module):
        def on_block(module, args, kwargs, output):
            entering = args[0] if args else kwargs["hidden_states"]
            receive(layer, _first(output), entering if site == "block_update" else None)

        if site in ("block_output", "block_update"):
            return block.register_forward_hook(on_block, with_kwargs=True)
        if site == "mlp_hidden":
            return block.get_submodule(names.mlp).register_forward_pre_hook(
                lambda module, args: receive(layer, args[0], None)
            )
        branch = names.attention if site == "attention_output" else names.mlp
        return block.get_submodule(branch).register_forward_hook(
            lambda module, args, output: receive(layer, _first(output), None)
        )

    with ExitStack() as stack:
        for layer, block in enumerate(blocks_of(model)):
            handle = attach(layer, block)
            stack.callback(handle.remove)
        yield


class _Room:
    """Room to work in, kept from chunk to chunk and shared by all layers, which run one after another.

    On a CPU the pages of tensors that are made anew for each chunk cost more than the sums.
    """

    def __init__(self):
        self.kept: dict[tuple[str, torch.device], Tensor] = {}

    def __call__(self, use: str, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """A tensor of this dtype in the shape of `rows`, its values undefined. The same use has the same room."""
        key = use, rows.device
        if key not in self.kept or self.kept[key].numel() < rows.numel():
            self.kept[key] = torch.empty(rows.numel(), dtype=torch.float64, device=rows.device)
        return self.kept[key].view(dtype)[: rows.numel()].view(rows.shape)


class _LayerStream:
    """The statistics of one layer while batches go by; tensors stay on the layer's own device."""

    def __init__(self, reading: Reading, epsilons: tuple[float, ...], histogram: bool, room: _Room | None = None):
        self.reading, self.epsilons, self.room = reading, epsilons, room or _Room()
        self.width = 0
        self.sums: Tensor | None = None
        self.documents: list[tuple[Tensor, ...]] = []
        self.pooled: list[Tensor] = []
        self.features: tuple[Tensor, Tensor, Tensor] | None = None
        self.histogram: Tensor | None = None
        self.wants_histogram = histogram

    def add(self, activation: Tensor, base: Tensor | None, mask: Tensor) -> None:
        """One batch: activation (B, T, F) or (B * T, F), and mask (B, T) bool, True where a token counts.

        Leaves `sums`, (B * T, 2 + E) a token, for `close_batch`, which reduces all layers to documents at once.
        """
        self.width = activation.shape[-1]
        rows = activation.reshape(-1, self.width)
        # In a model that is split over devices, what enters a block may lie on the device of the block before it.
        bases = None if base is None else base.to(rows.device).reshape(-1, self.width)
        parts = [self._tokens(*pair) for pair in self._chunks(rows, bases, self.width)]
        self.sums = parts[0] if len(parts) == 1 else torch.cat(parts)
        if self.reading.population == "pooled_tokens":
            self._pool(rows, bases, _sent(mask, rows.device))
        if self.reading.population in ("features", "unit_means"):
            self._by_feature(rows, bases, _sent(mask, rows.device).reshape(-1))
        if self.wants_histogram:
            self._count_magnitudes(rows, bases, _sent(mask, rows.device).reshape(-1))

    def _chunks(self, rows: Tensor, bases: Tensor | None, width: int):
        size = max(1, CHUNK.get(rows.device.type, CHUNK["cuda"]) // width)
        starts = range(0, rows.shape[0], size)
        return ((rows[s : s + size], None if bases is None else bases[s : s + size]) for s in starts)

    def _tokens(self, rows: Tensor, bases: Tensor | None) -> Tensor:
        """The sum, the sum of squares and the near-zero counts over the features of each token, (n, 2 + E) float64.

        Sums are products with a vector of ones; what that costs is measured in `bench/scoring.py`. In float64, the
        difference of squares stays within the tested 1e-6 even where the mean is a thousand times the spread.
        """
        values = self.room("values", rows, torch.float64).copy_(rows)
        if bases is not None:
            values.sub_(bases)
        sums = [_row_sums(values), torch.linalg.vecdot(values, values)]
        if bases is not None or rows.dtype == torch.float64:
            magnitude = values.abs_()
        else:
            # Comparing in float32 is exact (`_limits`) and counts are, below 2^24 features; bf16 would round them.
            magnitude = self.room("values", rows, torch.float32).copy_(rows).abs_()
        *first, last = _limits(self.epsilons, magnitude.dtype) or [None]
        below = self.room("below", rows, magnitude.dtype) if first else None
        sums += [_row_sums(torch.lt(magnitude, limit, out=below)) for limit in first]
        if last is not None:
            sums.append(_row_sums(magnitude.lt_(last)))
        return torch.stack([part.to(torch.float64) for part in sums], dim=-1)

    def _pool(self, rows: Tensor, bases: Tensor | None, mask: Tensor) -> None:
        values = _exact(rows, bases).view(*mask.shape, self.width).masked_fill(~mask[..., None], 0)
        pooled = values.sum(1) / mask.sum(1).clamp(min=1)[:, None]
        self.pooled.append(pooled.var(-1, correction=self.reading.ddof))

    def _by_feature(self, rows: Tensor, bases: Tensor | None, mask: Tensor) -> None:
        values = _exact(rows, bases).masked_fill(~mask[:, None], 0)
        # As float64: torch divides integers in float32.
        count = mask.sum().to(torch.float64).expand(values.shape[-1])
        mean = values.sum(0) / count.clamp(min=1)
        m2 = (values - mean).masked_fill(~mask[:, None], 0).square().sum(0)
        new = (count, mean, m2)
        self.features = new if self.features is None else merge(*self.features, *new)

    def _count_magnitudes(self, rows: Tensor, bases: Tensor | None, mask: Tensor) -> None:
        values = _exact(rows, bases).abs_()
        narrow = values.float()
        bins = narrow.view(torch.int32)
        if bases is not None or rows.dtype == torch.float64:
            # float32 may round up, and over the edge of a bin; one bit pattern less is below that edge.
            bins = bins - (narrow.double() > values).int()
        bins = bins >> HISTOGRAM_SHIFT
        # One bin more for padding, and for values that have no bin: to leave them out, their number would have to be
        # known.
        bins = bins.masked_fill_(~(mask[:, None] & (values < HISTOGRAM_END)), HISTOGRAM_BINS).reshape(-1)
        if bins.device.type == "cpu":
            counts = torch.bincount(bins, minlength=HISTOGRAM_BINS + 1)
        else:
            # The former is faster, and on an accelerator waits to learn the largest bin.
            counts = torch.zeros(HISTOGRAM_BINS + 1, dtype=torch.int64, device=bins.device)
            counts.scatter_add_(0, bins.long(), counts.new_ones(()).expand(len(bins)))
        counts = counts[:HISTOGRAM_BINS]
        self.histogram = counts if self.histogram is None else self.histogram + counts

    def finish(self) -> Moments:
        count, mean, m2, near = (torch.cat(column).cpu().numpy() for column in zip(*self.documents, strict=True))
        return Moments(
            count,
            mean,
            m2,
            near,
            self.epsilons,
            self.width,
            None if self.features is None else tuple(part.cpu().numpy() for part in self.features),
            torch.cat(self.pooled).cpu().numpy() if self.pooled else None,
            None if self.histogram is None else self.histogram.cpu().numpy(),
            self.reading.name,
        )


def _close_batch(streams: list[_LayerStream], mask: Tensor) -> None:
    """Reduce the token sums of all layers to moments of documents, mask (B, T): one set of operations a device."""
    alike: dict[tuple[torch.device, int], list[_LayerStream]] = {}
    for stream in streams:
        alike.setdefault((stream.sums.device, stream.width), []).append(stream)
    for (device, width), members in alike.items():
        keep = _sent(mask, device)
        tokens = keep.sum(1)
        sums = torch.stack([stream.sums for stream in members]).view(len(members), *mask.shape, -1)
        total, squares, near = sums[..., 0], sums[..., 1], sums[..., 2:]
        mean = (total / width).masked_fill(~keep, 0)
        m2 = (squares - total * mean).clamp_(min=0).masked_fill(~keep, 0).sum(-1)
        centre = mean.sum(-1) / tokens.clamp(min=1)
        m2 += width * (mean - centre[..., None]).masked_fill(~keep, 0).square().sum(-1)
        near = near.masked_fill(~keep[..., None], 0).sum(2).long()
        for index, stream in enumerate(members):
            stream.documents.append((tokens * width, centre[index], m2[index], near[index]))
            stream.sums = None


@cache
def _limits(epsilons: tuple[float, ...], dtype: torch.dtype) -> list[float]:
    """For each epsilon the smallest number of this dtype not below it: comparing with it is exact."""
    limits = torch.tensor(epsilons, dtype=dtype)
    low = limits.double() < torch.tensor(epsilons, dtype=torch.float64)
    return torch.where(low, torch.nextafter(limits, torch.full_like(limits, torch.inf)), limits).tolist()


def _row_sums(values: Tensor) -> Tensor:
    return torch.mv(values, values.new_ones(values.shape[-1]))


def _exact(rows: Tensor, bases: Tensor | None) -> Tensor:
    """The activations in float64, as a tensor of their own; differences are taken in float64 too."""
    values = rows.to(torch.float64, copy=True)
    return values if bases is None else values.sub_(bases)


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on this device; on the way to an accelerator nobody waits for it."""
    return tensor.to(device, non_blocking=device.type == "cuda")


def uncached(model: nn.Module) -> dict[str, bool]:
    """What tells a model not to keep keys and values of all blocks until the pass ends, where it has them."""
    return {"use_cache": False} if hasattr(model.config, "use_cache") else {}


def checked(batch: dict, number: int, reading: Reading) -> tuple[dict, Tensor]:
    """The model's inputs and the mask of tokens that count.

    A batch that cannot be used stops here, before it is run; one of padding only on the CPU alone, because looking
    would wait for an accelerator.
    """
    if "input_ids" not in batch:
        raise InputError(
            f"batch {number} has no input_ids (it has {', '.join(batch) or 'nothing'}); tokenise the text first"
        )
    mask = batch.get("attention_mask")
    if mask is not None and mask.device.type == "cpu" and not bool(mask.any()):
        raise InputError(f"batch {number} holds padding only; drop empty documents before batching")
    inputs = {key: batch[key] for key in INPUTS if batch.get(key) is not None}
    every = torch.ones_like(inputs["input_ids"], dtype=torch.bool)
    real = every if mask is None else mask.bool()
    counts = every if reading.padding == "included" else real
    if reading.tokens == "after_first":
        counts = counts & ~(real & (real.cumsum(1) == 1))
    return inputs, counts


def _check_finite(streams: list[_LayerStream]) -> None:
    for layer, stream in enumerate(streams):
        _, mean, m2, _ = stream.documents[-1]
        if not bool(torch.isfinite(mean + m2).all()):
            raise _not_finite(layer)


def _not_finite(layer: int) -> InputError:
    return InputError(f"layer {layer} has NaN or infinite activations; load the model in a wider dtype or check it")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the model's own mode comes back on exit."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def observe(
    model: nn.Module,
    batches: Iterable[dict],
    reading: Reading | str = "paper",
    *,
    epsilons: Iterable[float] = (),
    histogram: bool = False,
) -> list[Moments]:
    """Moments of every block's activations over all batches, in one forward pass without the head.

    `batches` yields dicts of tensors (B, T): input_ids, attention_mask (absent: all tokens count), token_type_ids.
    `epsilons` are counted beside the reading's own; `histogram` keeps abs(a) in bins, for the whole curve S(epsilon).
    Returns M `Moments`, one row a document in each. The model may be split over devices, as `device_map="auto"` does:
    what is kept of a block stays on its device until the end. Several processes share the batches
    (`avss.engine.parallel.together`): all of them call this, with the same model and batches, and get the same moments.
    Raises `InputError` for an empty iterable, a batch of padding only, activations that are not finite (names the
    layer) and a model family that is not in the table.
    """
    reading = Reading.parse(reading)
    wanted = tuple(dict.fromkeys([*([] if reading.quantile else [float(reading.epsilon)]), *map(float, epsilons)]))
    keeps_histogram = histogram or reading.quantile is not None

    def observed(numbered: Iterable[tuple[int, dict]]) -> list[Moments]:
        room = _Room()
        streams = [_LayerStream(reading, wanted, keeps_histogram, room) for _ in blocks_of(model)]
        _run(model, numbered, reading, streams)
        return [stream.finish() for stream in streams if stream.documents]

    moments = together(batches, observed)
    if not moments:
        raise InputError("no batches were given; scoring needs at least one document")
    for layer, kept in enumerate(moments):
        if not bool((abs(kept.mean) + kept.m2 < float("inf")).all()):
            raise _not_finite(layer)
    return moments


def _run(model: nn.Module, numbered: Iterable[tuple[int, dict]], reading: Reading, streams: list[_LayerStream]) -> None:
    """Run the model on numbered batches and fill the streams, one a layer."""
    mask = torch.empty(0, dtype=torch.bool)
    # Weights that are offloaded lie on no device, and what runs the model then sends the inputs where they belong.
    device = torch.device("cpu") if model.device.type == "meta" else model.device

    def receive(layer: int, activation: Tensor, base: Tensor | None) -> None:
        streams[layer].add(activation, base, mask)

    with evaluating(model), hooked(model, reading.site, receive):
        for number, batch in progress(numbered, "scoring"):
            inputs, mask = checked(batch, number, reading)
            model.base_model(**{key: _sent(value, device) for key, value in inputs.items()}, **uncached(model))
            _close_batch(streams, mask)
            # On a CPU looking is free; on an accelerator it would wait for the device, so there it is done once at the
            # end.
            if device.type == "cpu":
                _check_finite(streams)
