"""Contexts that run a model and leave it, and the random numbers of the process, as they were.

`unchanged` takes a snapshot and restores it. `evaluating` and `differentiable` are `unchanged` with the model in
evaluation mode, without and with gradients. All public functions that run a model work inside one of them.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import is_

import numpy as np
import torch
from torch import nn

from avss.errors import InputError


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """On exit the model's state is what it was on entry, also after an error or an interrupt.

    The state is: the attributes of every module (training flags, hooks, submodules, buffers, caches), `requires_grad`
    and `grad` of every parameter, the fields of every config and of the generation config, torch's default dtype, and
    the random number generators of torch (CPU and CUDA), NumPy and Python. The elements of tensors are not copied:
    nothing in this package writes to them.
    """
    restores = _restores(model)
    try:
        yield
    finally:
        for restore in restores:
            restore()


def _restores(model: nn.Module) -> list[Callable[[], None]]:
    held = [_Held(owner) for owner in (*model.modules(), *_configs(model))]
    # A dictionary and not a set, because parameters are compared by identity and may be shared.
    parameters = {parameter: (parameter.requires_grad, parameter.grad) for parameter in model.parameters()}
    dtype, torch_state = torch.get_default_dtype(), torch.get_rng_state()
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    numpy_state, python_state = np.random.get_state(), random.getstate()

    def restore_attributes() -> None:
        for each in held:
            each.restore()

    def restore_parameters() -> None:
        for parameter, (wanted, gradient) in parameters.items():
            if parameter.requires_grad != wanted:
                parameter.requires_grad_(wanted)
            if parameter.grad is not gradient:
                parameter.grad = gradient

    def restore_generators() -> None:
        torch.set_default_dtype(dtype)
        torch.set_rng_state(torch_state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)
        np.random.set_state(numpy_state)
        random.setstate(python_state)

    return [restore_attributes, restore_parameters, restore_generators]


def _configs(model: nn.Module) -> list:
    """Every config object once: those of all modules, the generation config, and configs inside configs."""
    found = {}
    waiting = [getattr(module, name, None) for module in model.modules() for name in ("config", "generation_config")]
    while waiting:
        config = waiting.pop()
        if hasattr(config, "to_dict") and id(config) not in found:
            found[id(config)] = config
            waiting.extend(vars(config).values())
    return list(found.values())


class _Held:
    """The attributes of an object, and the entries of the dictionaries and lists among them.

    Hooks and submodules are changed inside their dictionaries. Every call of the package holds and compares hundreds of
    modules, nearly always equal, with a dozen empty dictionaries each. So comparisons run without a line of Python for
    each attribute, and no copy is made of an empty container: many new objects make Python look for garbage.
    """

    def __init__(self, owner):
        self.owner, self.attributes = owner, vars(owner).copy()
        found = [value for value in self.attributes.values() if isinstance(value, (dict, list))]
        self.empty = [value for value in found if not value]
        self.filled = [(value, value.copy()) for value in found if value]

    def restore(self) -> None:
        # Only differences are written: an interrupt in the middle must not leave a module without its attributes.
        current = vars(self.owner)
        if not _same(current, self.attributes):
            for name in current.keys() - self.attributes.keys():
                del current[name]
            for name, value in self.attributes.items():
                if name not in current or current[name] is not value:
                    current[name] = value
        for value in filter(None, self.empty):
            value.clear()
        for value, entries in self.filled:
            if _same(value, entries):
                continue
            if isinstance(value, dict):
                value.clear()
                value.update(entries)
            else:
                value[:] = entries


def _same(value: dict | list, entries: dict | list) -> bool:
    """Whether both hold the same objects under the same names in the same order."""
    if len(value) != len(entries):
        return False
    if isinstance(value, dict):
        return list(value) == list(entries) and all(map(is_, value.values(), entries.values()))
    return all(map(is_, value, entries))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; on exit everything is as it was (`unchanged`)."""
    with unchanged(model), torch.inference_mode():
        model.eval()
        yield


@contextmanager
def differentiable(model: nn.Module) -> Iterator[None]:
    """Evaluation mode with gradients for activations alone; on exit everything is as it was (`unchanged`).

    Raises `InputError` for a quantised model and for one whose parameters were made under inference_mode.
    """
    if getattr(model, "is_quantized", False) or any(map(_quantised, model.modules())):
        raise InputError("the model is quantised, so its gradients are not those of its weights; load it unquantised")
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise InputError("the model was made under torch.inference_mode and has no gradients; load it outside of it")
    with unchanged(model), torch.inference_mode(False), torch.enable_grad():
        model.eval().requires_grad_(False)
        yield


def _quantised(module: nn.Module) -> bool:
    # Such modules may let an undefined gradient through without an error.
    return type(module).__module__.startswith(("torch.ao.nn.quantized", "torchao.", "bitsandbytes."))
