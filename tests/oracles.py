"""A slow oracle for each method, straight from its formula. `tests/test_oracles.py` runs each beside its method.

An oracle takes a model and a list of batches and returns one number a block. Some of its parts check more than the
scores, in the tests of their method.
"""

import copy
import itertools
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import numpy as np
import torch

import avss
from avss.architectures import blocks_of
from avss.engine.gold import gold, labels_of
from avss.engine.relevance import attnlrp
from tests.conftest import padded_right


@torch.no_grad()
def stored(model, batch) -> np.ndarray:
    """h_0..h_M, (M + 1, B, T, F) float64, by hooks on the blocks."""
    kept = []

    def keep(module, args, kwargs, out):
        entering = args[0] if args else kwargs["hidden_states"]
        kept.extend([entering] if not kept else [])
        kept.append(out[0] if isinstance(out, tuple) else out)

    with ExitStack() as stack:
        for block in blocks_of(model):
            stack.callback(block.register_forward_hook(keep, with_kwargs=True).remove)
        model(**batch)
    return torch.stack(kept).double().numpy()


def cosine(a, b):
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def influence(states, mask):
    """1 - mean cosine of neighbours over real tokens, one after another."""
    return [
        1 - np.mean([cosine(before[d, t], after[d, t]) for d, t in np.argwhere(mask)])
        for before, after in pairwise(states)
    ]


def real(batch):
    return batch["attention_mask"].bool().numpy()


@torch.no_grad()
def outcomes(model, batch):
    """Loss, mean gold probability and number of predictions of each document, one prediction at a time."""
    batch = padded_right(batch)
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    logits = model(**inputs).logits.double()
    losses, probabilities, counts = [], [], []
    for row in range(len(logits)):
        if logits.ndim == 2:
            chances = [logits[row].softmax(-1)[batch["labels"][row]].item()]
        else:
            ids, mask = batch["input_ids"][row], batch["attention_mask"][row]
            real = [t for t in range(len(ids) - 1) if mask[t] and mask[t + 1]]
            chances = [logits[row, t].softmax(-1)[ids[t + 1]].item() for t in real]
        losses.append(-np.log(chances).sum())
        probabilities.append(np.mean(chances) if chances else 0)
        counts.append(len(chances))
    return np.array(losses), np.array(probabilities), np.array(counts)


@contextmanager
def forced(model, gates):
    """The model with h + g (block(h) - h) in the place of block(h), by hooks; every block still runs."""
    with ExitStack() as stack:
        for layer, gate in gates.items():

            def on_block(module, args, kwargs, output, gate=gate):
                entering = args[0] if args else kwargs["hidden_states"]
                return entering + gate * (output - entering)

            stack.callback(blocks_of(model)[layer].register_forward_hook(on_block, with_kwargs=True).remove)
        yield


def mean_loss(model, batches):
    found = [outcomes(model, batch) for batch in batches]
    return sum(loss.sum() for loss, _, _ in found) / sum(count.sum() for _, _, count in found)


def without(model, layers):
    return avss.prune(copy.deepcopy(model), layers)


def naive_order(model, batches, turns):
    removed = []
    for _ in range(turns):
        left = [layer for layer in range(len(blocks_of(model))) if layer not in removed]
        losses = {layer: mean_loss(without(model, [*removed, layer]), batches) for layer in left}
        removed.append(min(losses, key=losses.get))
    return removed


def first(value):
    return value[0] if isinstance(value, tuple) else value


@torch.no_grad()
def document_losses(model, batch) -> torch.Tensor:
    """Mean nats a scored prediction, one document after another."""
    logits = model(**{name: batch[name] for name in ("input_ids", "attention_mask")}).logits
    losses = []
    for row, ids in enumerate(batch["input_ids"]):
        if "labels" in batch:
            losses.append(-logits[row].log_softmax(-1)[batch["labels"][row]])
        else:
            length = int(batch["attention_mask"][row].sum())
            steps = logits[row, : length - 1].log_softmax(-1)
            losses.append(-torch.stack([steps[t, ids[t + 1]] for t in range(length - 1)]).mean())
    return torch.stack(losses)


def finite_differences(model, batch, step: float = 1e-4) -> tuple[np.ndarray, np.ndarray]:
    """dLoss/dh_i (M, B, T, F) and u_i, at real tokens only; each entry by moving it in all documents at once."""
    blocks, kept = blocks_of(model), []
    with ExitStack() as stack:
        for block in blocks:
            handle = block.register_forward_hook(
                lambda m, args, kwargs, out: kept.append(
                    (first(out) - (args or [kwargs["hidden_states"]])[0]).detach()
                ),
                with_kwargs=True,
            )
            stack.callback(handle.remove)
        document_losses(model, batch)
    updates = torch.stack(kept)
    gradients = torch.zeros_like(updates)
    for i, block in enumerate(blocks):
        for t in range(updates.shape[2]):
            for f in range(updates.shape[3]):
                ends = []
                for sign in (1, -1):

                    def move(module, args, out, t=t, f=f, sign=sign):
                        moved = first(out).clone()
                        moved[:, t, f] += sign * step
                        return (moved, *out[1:]) if isinstance(out, tuple) else moved

                    handle = block.register_forward_hook(move)
                    ends.append(document_losses(model, batch))
                    handle.remove()
                gradients[i, :, t, f] = (ends[0] - ends[1]) / (2 * step)
    real = batch["attention_mask"][None, :, :, None]
    return (gradients * real).numpy(), (updates * real).numpy()


def distance(states, mask, start, apart):
    """Mean angle, in units of pi, between h_start and h_(start + apart) at the last real token of each document."""
    angles = []
    for document, row in enumerate(mask):
        token = max(np.flatnonzero(row))
        angles.append(np.arccos(cosine(states[start, document, token], states[start + apart, document, token])) / np.pi)
    return np.mean(angles)


def boundaries(model, batch, softmax="taylor"):
    """Relevance at h_0..h_M (M + 1, B), the explained logit (B,), and for each block (h, u, g) at its output."""
    states, blocks = [], blocks_of(model)

    def keep(module, args, kwargs, out):
        states.append((args[0] if args else kwargs["hidden_states"], out[0] if isinstance(out, tuple) else out))

    def begin(module, args, kwargs):
        (args[0] if args else kwargs["hidden_states"]).requires_grad_()

    model.requires_grad_(False)
    with attnlrp(model, softmax), ExitStack() as stack:
        stack.callback(blocks[0].register_forward_pre_hook(begin, with_kwargs=True).remove)
        for block in blocks:
            stack.callback(block.register_forward_hook(keep, with_kwargs=True).remove)
        logits = model(**{name: batch[name] for name in ("input_ids", "attention_mask")}).logits
        explained = gold(model, logits, labels_of(model, batch)).logit.sum(1)
        hidden = [states[0][0], *(leaving for _, leaving in states)]
        gradients = torch.autograd.grad(explained.sum(), hidden)
    total = torch.stack([(h * g).sum((1, 2)) for h, g in zip(hidden, gradients, strict=True)]).detach()
    parts = [(h.detach(), (o - h).detach(), g) for (h, o), g in zip(states, gradients[1:], strict=True)]
    return total, explained.detach(), parts


def branch_shares(model, batches, softmax="taylor") -> list[float]:
    """LRP: the share of the absolute relevance that the branch of a block carries, one document after another."""
    shares = [[] for _ in blocks_of(model)]
    for batch in batches:
        mask = real(batch)
        for block, (entering, update, gradient) in enumerate(boundaries(model, batch, softmax)[2]):
            for row, positions in enumerate(mask):
                branch, skip = (
                    float((part[row] * gradient[row])[positions].abs().sum()) for part in (update, entering)
                )
                shares[block].append(branch / (branch + skip))
    return [float(np.mean(each)) for each in shares]


def swings(model, batches) -> list[float]:
    """CIM: mean over documents of the largest less the smallest gold probability, as a gate goes over 0, 1/2 and 1."""
    found = []
    for layer in range(len(blocks_of(model))):
        each = []
        for batch in batches:
            probabilities = []
            for gate in (0, 0.5, 1):
                with forced(model, {layer: gate}):
                    probabilities.append(outcomes(model, batch)[1])
            each += [max(values) - min(values) for values in zip(*probabilities, strict=True)]
        found.append(float(np.mean(each)))
    return found


def loss_increases(model, batches) -> list[float]:
    """Leave-one-out: the loss of the model without a block, less that of the whole model."""
    whole = mean_loss(model, batches)
    return [mean_loss(without(model, [layer]), batches) - whole for layer in range(len(blocks_of(model)))]


def turns(model, batches) -> list[int]:
    """Greedy removal of all blocks but one: the turn in which each goes; the last one has the number after them."""
    layers = len(blocks_of(model))
    order = naive_order(model, batches, layers - 1)
    return [order.index(layer) + 1 if layer in order else layers for layer in range(layers)]


def over_all_orders(value, players: int) -> np.ndarray:
    """Shapley values by definition: the mean gain as the player joins, over all orders, (players, documents)."""
    gains = []
    for order in itertools.permutations(range(players)):
        there, gain = np.zeros((1, players), dtype=bool), {}
        for player in order:
            before = value(there)[0]
            there[0, player] = True
            gain[player] = value(there)[0] - before
        gains.append([gain[player] for player in range(players)])
    return np.mean(gains, axis=0)


def mean_gains(model, batches) -> np.ndarray:
    """Layer Shapley: the mean gain in log-likelihood as a block joins others, over all orders; others pass h on."""
    layers, known = len(blocks_of(model)), {}

    def value(there):
        name = there.tobytes()
        if name not in known:
            with forced(model, {layer: 0 for layer in range(layers) if not there[0, layer]}):
                known[name] = -mean_loss(model, batches)
        return np.array([[known[name]]])

    return over_all_orders(value, layers)[:, 0]


def normalized_avss(model, batches, epsilon=0.01) -> list[float]:
    """AVSS: Eqs. 1, 4, 7 and 8 over all real activations at once; S = 1/N where none is near zero."""
    scores = []
    for layer in range(1, len(blocks_of(model)) + 1):
        values = np.concatenate([stored(model, batch)[layer][real(batch)].ravel() for batch in batches])
        variance = np.mean((values - values.mean()) ** 2)
        scores.append(variance / max(np.mean(np.abs(values) < epsilon), 1 / values.size))
    return [score / sum(scores) for score in scores]


def gradient_norms(model, batches) -> np.ndarray:
    """GBIS: mean over documents of the norm of the loss's gradient at a block's output."""
    gradients = [finite_differences(model, batch)[0] for batch in batches]
    return np.concatenate([np.sqrt((each**2).sum((2, 3))) for each in gradients], 1).mean(1)


def first_order_changes(model, batches) -> np.ndarray:
    """Taylor: mean over documents of the absolute product of a block's update and the loss's gradient."""
    found = [finite_differences(model, batch) for batch in batches]
    return np.concatenate([np.abs((each * update).sum((2, 3))) for each, update in found], 1).mean(1)


def cosine_losses(model, batches) -> np.ndarray:
    """Block influence: one less the mean cosine over all real tokens."""
    weights = [batch["attention_mask"].sum().item() for batch in batches]
    return np.average([influence(stored(model, batch), real(batch)) for batch in batches], 0, weights)


def angles(model, batches) -> np.ndarray:
    """Angular distance across one block: mean over documents."""
    found = [
        [distance(stored(model, batch), real(batch), start, 1) for start in range(len(blocks_of(model)))]
        for batch in batches
    ]
    return np.average(found, 0, [len(batch["input_ids"]) for batch in batches])


def relative_updates(model, batches) -> np.ndarray:
    """Relative size of the update: the norm of each token's update over that of its output, one token at a time."""
    ratios = []
    for batch in batches:
        pairs = list(pairwise(stored(model, batch)))
        for d, t in np.argwhere(real(batch)):
            ratios.append(
                [np.linalg.norm(after[d, t] - before[d, t]) / np.linalg.norm(after[d, t]) for before, after in pairs]
            )
    return np.mean(ratios, axis=0)


@torch.no_grad()
def predictions(model, batch) -> list[torch.Tensor]:
    """The log-probabilities of every prediction of a batch in float64, one distribution at a time."""
    logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits.double()
    if logits.ndim == 2:
        return [row.log_softmax(-1) for row in logits]
    mask = batch["attention_mask"]
    where = [(row, t) for row, t in mask.nonzero().tolist() if t + 1 < mask.shape[1] and mask[row, t + 1]]
    return [logits[row, t].log_softmax(-1) for row, t in where]


def divergence(model, other, batches) -> float:
    """The mean KL divergence of the predictions of `other` from those of `model`."""
    pairs = [
        pair
        for batch in map(padded_right, batches)
        for pair in zip(predictions(model, batch), predictions(other, batch), strict=True)
    ]
    return float(np.mean([(p.exp() * (p - q)).sum().item() for p, q in pairs]))


def divergences(model, batches) -> list[float]:
    """KL leave-one-out: the divergence of the model without each block."""
    return [divergence(model, without(model, [block]), batches) for block in range(len(blocks_of(model)))]


def from_the_start(model, batches) -> list[int]:
    """First: 1 for the first block up to M for the last."""
    return list(range(1, len(blocks_of(model)) + 1))


def mean_weights(model, batches) -> list[float]:
    """Magnitude: the mean absolute weight of a block."""
    return [
        np.abs(np.concatenate([p.detach().double().numpy().ravel() for p in block.parameters()])).mean()
        for block in blocks_of(model)
    ]


def random_order(model, batches, seed=0) -> np.ndarray:
    """Random: 1 to M, shuffled by NumPy's PCG64."""
    return np.random.Generator(np.random.PCG64(seed)).permutation(len(blocks_of(model))) + 1


def from_the_end(model, batches) -> list[int]:
    """Last: M for the first block down to 1 for the last."""
    return list(range(len(blocks_of(model)), 0, -1))


ORACLES: dict[str, Callable] = {
    "avss": normalized_avss,
    "gbis": gradient_norms,
    "lrp": branch_shares,
    "cim": swings,
    "taylor": first_order_changes,
    "block_influence": cosine_losses,
    "angular": angles,
    "leave_one_out": loss_increases,
    "greedy": turns,
    "update_norm": relative_updates,
    "kl_leave_one_out": divergences,
    "first": from_the_start,
    "shapley": mean_gains,
    "magnitude": mean_weights,
    "random": random_order,
    "last": from_the_end,
}
