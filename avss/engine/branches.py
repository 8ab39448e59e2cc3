"""Which layer of a block ends its attention branch, and which its feed-forward branch, read off one small forward pass.

No name decides. While the model reads two tokens, every tensor that is a sum of known ones carries the sum with it: the
block's input, the outputs of linear layers, the outputs of norms. A block adds two branches plainly where what leaves
it is the input plus the outputs of two linear layers (norms first, in sequence or side by side), or where two norms
follow the two sums (norms last, as in BERT). No value is looked at, so weights may be zero, or not there at all.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Cache
from transformers.pytorch_utils import Conv1D

from avss.architectures import family_of, place_of
from avss.errors import InputError

# Operations that hand a tensor on in another form.
SAME = (
    "view",
    "_unsafe_view",
    "reshape",
    "contiguous",
    "clone",
    "_to_copy",
    "to",
    "dropout",
    "native_dropout",
    "alias",
    "detach",
    "unsqueeze",
    "squeeze",
    "_reshape_alias",
    "slice",
)
# A sum of the outputs of modules, by their paths in the block; `INPUT` is what enters the block.
Sum = frozenset[str]
INPUT = "input"
WHOLE = "block_output and block_update, and all methods that score whole blocks, work"


@dataclass(frozen=True)
class Branches:
    """The paths, in a block, of the linear layers whose outputs its two branches add, and whether norms come first.

    The input of `mlp` is the hidden activation of the feed-forward branch.
    """

    attention: str
    mlp: str
    norm_first: bool


@dataclass(frozen=True)
class Trace:
    """How one block was run: its branches, or why it has none; the sums; and what it returned beside its state."""

    branches: Branches | None
    reason: str
    returned: tuple | None
    entangled: bool


def state_out(value) -> Tensor:
    """The hidden state in what a block returned."""
    return value[0] if isinstance(value, (tuple, list)) else value


def state_in(args: tuple, kwargs: dict) -> Tensor:
    """The hidden state in what a block was given."""
    return args[0] if args else kwargs["hidden_states"]


def joined(state: Tensor) -> Tensor:
    """A hidden state as (B, T, F): of several streams a token, all features together."""
    return state.flatten(2) if state.ndim > 3 else state


def branches_of(model: nn.Module) -> list[Branches]:
    """The branches of every block. Raises `InputError` where a block does not add two branches plainly."""
    traces = traced(model)
    for layer, trace in enumerate(traces):
        if trace.branches is None:
            raise InputError(
                f"block {layer} of model family {family_of(model)!r} has no attention and feed-forward branch of its "
                f"own ({trace.reason}), so it has no sites within a block and no gates a branch; {WHOLE}"
            )
    return [trace.branches for trace in traces]


def traced(model: nn.Module) -> list[Trace]:
    """One small forward pass of the base model, watched. Hooks on blocks and on the base model do not see it."""
    if model.device.type == "meta" and any(hasattr(module, "_hf_hook") for module in model.modules()):
        # Offloaded weights come in while a module runs. Values do not matter, so a model without weights will do.
        with torch.device("meta"):
            model = type(model)(model.config)
    place, recorder = place_of(model), _Recorder()
    flags = {} if model.device.type == "meta" or not hasattr(model.config, "use_cache") else {"use_cache": False}
    training = model.training
    watched = [_Watched(block, recorder) for block in place.blocks]
    with torch.no_grad(), recorder, _hooked(watched):
        model.eval()
        place.put(nn.ModuleList(watched))
        try:
            model.base_model.forward(input_ids=torch.ones(1, 2, dtype=torch.long, device=model.device), **flags)
        finally:
            place.put(place.blocks)
            model.train(training)
    if any(block.ran != 1 for block in watched):
        raise InputError(f"model family {family_of(model)!r} does not run each of its blocks once on a text")
    return [block.trace([other.given for other in watched]) for block in watched]


class _Recorder(TorchDispatchMode):
    """Keeps, for each tensor, of which outputs it is the sum. Tensors are kept, so that an id stays one tensor's."""

    def __init__(self):
        super().__init__()
        self.sums: dict[int, Sum] = {}
        self.kept: list[Tensor] = []

    def name(self, tensor: Tensor, sum_: Sum) -> None:
        self.sums[id(tensor)] = sum_
        self.kept.append(tensor)

    def sum_of(self, tensor) -> Sum | None:
        return self.sums.get(id(tensor))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        kind = func.overloadpacket.__name__
        known = [self.sum_of(value) for value in args if isinstance(value, Tensor)]
        out = result[0] if isinstance(result, tuple) and result else result
        if not isinstance(out, Tensor):
            return result
        if kind in ("add", "add_") and len(known) == 2 and None not in known and not (kwargs or {}).get("alpha"):
            new = known[0] | known[1] if not known[0] & known[1] else None
        elif kind in SAME and known:
            new = known[0]
        else:
            new = None
        if new is not None:
            self.name(out, new)
        elif id(out) in self.sums and kind.endswith("_"):
            del self.sums[id(out)]
        elif id(out) not in self.sums:
            self.kept.append(out)
        return result


class StandIn(nn.Module):
    """Hangs in a block's place; the model finds the block's attributes at it."""

    def __init__(self, block: nn.Module):
        super().__init__()
        # Not as a part of this module, whose parameters and modes are its own.
        self.__dict__["block"] = block

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["block"], name)


class _Watched(StandIn):
    """Runs the block, without hooks on it, and notes what goes in and what comes out."""

    def __init__(self, block: nn.Module, recorder: _Recorder):
        super().__init__(block)
        self.recorder, self.ran = recorder, 0
        self.paths = {module: path for path, module in block.named_modules()}
        self.order: list[str] = []
        self.norms: dict[str, Sum | None] = {}
        self.given: list = []
        self.leaving: Sum | None = None
        self.rest: tuple | None = None
        self.shares = False

    def forward(self, *args, **kwargs):
        self.ran += 1
        self.recorder.name(state_in(args, kwargs), frozenset([INPUT]))
        self.given = [*args[1:], *kwargs.values()]
        shared = {id(value): len(value) for value in self.given if isinstance(value, dict)}
        output = self.block.forward(*args, **kwargs)
        self.leaving = self.recorder.sum_of(state_out(output))
        self.rest = tuple(output[1:]) if isinstance(output, (tuple, list)) else None
        self.shares = any(
            isinstance(value, Cache) or (isinstance(value, dict) and len(value) != shared[id(value)])
            for value in self.given
        )
        return output

    def on_linear(self, module, args, output) -> None:
        path = self.paths[module]
        self.order.append(path)
        self.recorder.name(output, frozenset([path]))

    def on_norm(self, module, args, output) -> None:
        path = self.paths[module]
        self.norms[path] = self.recorder.sum_of(args[0])
        self.recorder.name(output, frozenset([path]))

    def trace(self, given: list[list]) -> Trace:
        branches, reason = self._branches()
        handed = {id(value) for value in self.rest or () if isinstance(value, Tensor)}
        entangled = self.shares or any(id(value) in handed for values in given for value in values)
        return Trace(branches, reason, self.rest, entangled)

    def _branches(self) -> tuple[Branches | None, str]:
        if self.leaving is None:
            return None, "it scales, gates or mixes what it adds"
        added = self.leaving - {INPUT}
        if INPUT in self.leaving:
            return self._pair(added, True)
        # Norms last: the block ends in a norm of another norm and a branch.
        if len(added) == 1 and (outer := self.norms.get(*added)):
            inner = [path for path in outer if path in self.norms]
            before = self.norms[inner[0]] if len(inner) == 1 else None
            if before and INPUT in before:
                return self._pair((outer - set(inner)) | (before - {INPUT}), False)
        return None, "what leaves it is no sum of its input and two branches"

    def _pair(self, added: Sum, norm_first: bool) -> tuple[Branches | None, str]:
        if any(path in self.norms for path in added):
            return None, "a norm follows its branches before they are added"
        ends = sorted(added, key=self.order.index)
        attends = ["att" in path.lower() or self._attends(path) for path in ends]
        if len(ends) != 2 or sum(attends) != 1:
            return None, f"it adds {len(ends)} outputs of linear layers, {sum(attends)} of them of attention"
        attention = ends[attends.index(True)]
        return Branches(attention, ends[attends.index(False)], norm_first), ""

    def _attends(self, path: str) -> bool:
        owners = [module for module, owner in self.paths.items() if owner and f"{path}.".startswith(f"{owner}.")]
        return any("attention" in type(module).__name__.lower() for module in owners)


@contextmanager
def _hooked(watched: list[_Watched]) -> Iterator[None]:
    with ExitStack() as stack:
        for block in watched:
            for module in block.paths:
                if isinstance(module, (nn.Linear, Conv1D)):
                    stack.callback(module.register_forward_hook(block.on_linear).remove)
                elif type(module).__name__.endswith("Norm"):
                    stack.callback(module.register_forward_hook(block.on_norm).remove)
        yield
