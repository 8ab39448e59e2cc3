"""What one family of causal language models can do, tried on a tiny random model of its own class."""

import copy
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from textwrap import shorten

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import avss
from avss.architectures import place_of
from avss.engine.branches import state_in, traced
from avss.errors import InputError

from .tiny_configs import config_of

FAMILIES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
SITES = ("block_output", "block_update", "attention_output", "mlp_output", "mlp_hidden")
METHODS = ("avss", "block_influence", "angular", "magnitude", "gbis", "taylor", "leave_one_out", "cim", "greedy")
# Blocks to remove, in the order in which they are tried: a family's rule may allow only some.
REMOVED = ([1], [2], [0], [3], [1, 2], [2, 3], [0, 1], [0, 1, 2], [1, 2, 3])
LARGEST = 20_000_000
REST = "reason"
COLUMNS = (
    "family",
    "class",
    "runs",
    "parameters",
    "sites",
    "methods",
    "removed",
    "prune",
    "reload",
    "cache",
    "passes",
    REST,
    "torch",
    "transformers",
)


def tiny(family: str) -> PreTrainedModel:
    """A random model of this family; weights larger than usual, so that every block matters."""
    kind = getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family])
    torch.manual_seed(0)
    config = config_of(family, kind.config_class)
    with torch.device("meta"):
        large = sum(parameter.numel() for parameter in kind(copy.deepcopy(config)).parameters())
    if large > LARGEST:
        raise ValueError(f"a config of small sizes still has {large:,} weights")
    model = kind(config).eval()
    if getattr(model.config, "default_language", "") is None:
        model.set_default_language("en_XX")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and parameter.is_floating_point():
                parameter.mul_(3)
    return model


def batch() -> dict[str, Tensor]:
    """Token ids of two documents of twelve tokens, (2, 12)."""
    ids = torch.randint(4, 60, (2, 12), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    return model(**batch(), use_cache=False).logits


@contextmanager
def bypassed(model: nn.Module, layers: Iterable[int]) -> Iterator[None]:
    """The model with these blocks run in vain: each hands on what entered it."""

    def hand_on(module, args, kwargs, output):
        entered = state_in(args, kwargs)
        return (entered, *output[1:]) if isinstance(output, (tuple, list)) else entered

    handles = [place_of(model).blocks[layer].register_forward_hook(hand_on, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def close(found: Tensor, expected: Tensor) -> bool:
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def generated(model: nn.Module, cached: bool) -> Tensor:
    ids = batch()["input_ids"][:, :6]
    return model.generate(
        input_ids=ids, max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=0, use_cache=cached
    )


def survey(family: str) -> dict:
    """The row of one family. Errors of transformers are caught, because a row says where they are."""
    row = dict.fromkeys(COLUMNS, "") | {"family": family, "class": MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family]}
    row |= {"torch": torch.__version__.partition("+")[0], "transformers": transformers.__version__}

    def attempt(step: str, action: Callable):
        try:
            return action()
        except Exception as error:
            kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            row[REST] = row[REST] or f"{step}: {kind}{shorten(str(error), 200, placeholder=' ...')}"
            return None

    model = attempt("build", lambda: tiny(family))
    whole = None if model is None else attempt("run", lambda: logits(model))
    row["runs"] = "yes" if whole is not None and bool(torch.isfinite(whole).all()) else "no"
    if row["runs"] == "no":
        return row
    row["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    row["methods"] = " ".join(name for name in METHODS if _scores(attempt, model, name))
    kept, row[REST] = row[REST], ""
    row["sites"] = " ".join(name for name in SITES if _observes(attempt, model, name))
    row[REST] = kept
    removed = next((layers for layers in REMOVED if _prunes(attempt, family, layers)), None)
    if removed is not None:
        row[REST] = kept
        row["removed"] = " ".join(map(str, removed))
        _check_pruned(attempt, row, family, removed)
    basic = {"avss", "block_influence"} <= set(row["methods"].split())
    row["passes"] = "yes" if basic and row["prune"] == row["reload"] == row["cache"] == "yes" else "no"
    return row


def _works(action: Callable) -> bool:
    try:
        return bool(action())
    except Exception:
        return False


def _scores(attempt: Callable, model: nn.Module, method: str) -> bool:
    scores = attempt(method, lambda: avss.score(model, [batch()], method))
    return scores is not None


def _observes(attempt: Callable, model: nn.Module, site: str) -> bool:
    return attempt(site, lambda: avss.score(model, [batch()], reading=f"paper,site={site}")) is not None


def _prunes(attempt: Callable, family: str, layers: list[int]) -> bool:
    return attempt("prune", lambda: avss.prune(tiny(family), layers)) is not None


def _check_pruned(attempt: Callable, row: dict, family: str, removed: list[int]) -> None:
    """Fill in prune, reload and cache: equal to the model with these blocks run in vain; equal logits; equal tokens."""
    original = tiny(family)
    with bypassed(original, removed):
        expected = attempt("bypass", lambda: logits(original))
    model = avss.prune(tiny(family), removed)
    found = attempt("pruned", lambda: logits(model))
    if found is None or expected is None:
        row["prune"] = "no"
        return
    # Where later blocks read more than the hidden state, a block that runs in vain still feeds them.
    traces = attempt("trace", lambda: traced(original)) or []
    row["prune"] = "yes" if any(trace.entangled for trace in traces) or close(found, expected) else "no"

    def reloaded(model: nn.Module, found: Tensor) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            again, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        left = {key: info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[key]}
        if left:
            raise ValueError(f"left over: {left}")
        if getattr(again.config, "default_language", "") is None:
            again.set_default_language("en_XX")
        if not torch.equal(logits(again.eval()), found):
            raise ValueError(f"logits differ by {(logits(again) - found).abs().max():.3g}")
        return True

    def cached(model: nn.Module) -> bool:
        if not torch.equal(generated(model, True), generated(model, False)):
            raise ValueError("tokens differ with a cache")
        return True

    row["reload"] = "yes" if attempt("reload", lambda: reloaded(model, found)) else "no"
    row["cache"] = "yes" if attempt("cache", lambda: cached(model)) else "no"
    for step, action in (("reload", lambda: reloaded(original, logits(original))), ("cache", lambda: cached(original))):
        if row[step] == "no" and not _works(action):
            row[REST] += " (so with the whole model)"
