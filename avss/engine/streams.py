"""Statistics of one layer's activations while batches go by; no activation is stored.

Each activation is at once reduced to three numbers a token (sum, sum of squares, near zeros), and those to one set a
document. Sums are float64. Tests show a relative error below 1e-6 even where the mean is 1,000 times the spread.
"""

from functools import cache

import torch
from torch import Tensor

from avss.engine.passes import sent
from avss.moments import HISTOGRAM_BINS, HISTOGRAM_END, HISTOGRAM_SHIFT, Moments, merge
from avss.reading import Reading

# Elements turned into float64 at a time: on a CPU few enough to stay in cache, on a GPU enough to fill it.
CHUNK = {"cpu": 1 << 18, "cuda": 1 << 24}


class Room:
    """Working memory, reused from chunk to chunk and shared by all layers, which run one after another.

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


class LayerStream:
    """The statistics of one layer while batches go by; tensors stay on the layer's own device."""

    def __init__(self, reading: Reading, epsilons: tuple[float, ...], histogram: bool, room: Room | None = None):
        self.reading, self.epsilons, self.room = reading, epsilons, room or Room()
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
        # In a model that is split over devices, a block's input may be on the device of the block before it.
        bases = None if base is None else base.to(rows.device).reshape(-1, self.width)
        parts = [self._tokens(*pair) for pair in self._chunks(rows, bases, self.width)]
        self.sums = parts[0] if len(parts) == 1 else torch.cat(parts)
        if self.reading.population == "pooled_tokens":
            self._pool(rows, bases, sent(mask, rows.device))
        if self.reading.population in ("features", "unit_means"):
            self._by_feature(rows, bases, sent(mask, rows.device).reshape(-1))
        if self.wants_histogram:
            self._count_magnitudes(rows, bases, sent(mask, rows.device).reshape(-1))

    def _chunks(self, rows: Tensor, bases: Tensor | None, width: int):
        size = max(1, CHUNK.get(rows.device.type, CHUNK["cuda"]) // width)
        starts = range(0, rows.shape[0], size)
        return ((rows[s : s + size], None if bases is None else bases[s : s + size]) for s in starts)

    def _tokens(self, rows: Tensor, bases: Tensor | None) -> Tensor:
        """The sum, the sum of squares and the near-zero counts over the features of each token, (n, 2 + E) float64.

        Sums are products with a vector of ones; `bench/scoring.py` measures their cost. In float64, the
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


def close_batch(streams: list[LayerStream], mask: Tensor) -> None:
    """Reduce the token sums of all layers to moments of documents, mask (B, T): one set of operations a device."""
    alike: dict[tuple[torch.device, int], list[LayerStream]] = {}
    for stream in streams:
        alike.setdefault((stream.sums.device, stream.width), []).append(stream)
    for (device, width), members in alike.items():
        keep = sent(mask, device)
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
