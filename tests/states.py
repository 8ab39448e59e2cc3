"""The state of a model and of the process that no public function may change, spelled out for comparison."""

import random

import numpy as np
import torch

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def settings_of(config) -> dict | None:
    if config is None:
        return None
    return {name: str(value) for name, value in vars(config).items()}


def state_of(model) -> dict:
    """Everything that can be seen of a model and of the random numbers, as values that compare by ==."""
    modules = list(model.modules())
    return {
        "training": [module.training for module in modules],
        "hooks": [[list(getattr(module, kind).values()) for kind in HOOKS] for module in modules],
        "attributes": [sorted(vars(module)) for module in modules],
        "buffers": [(name, id(buffer)) for name, buffer in model.named_buffers()],
        "modules": [(name, id(module)) for name, module in model.named_modules()],
        "layer_idx": [getattr(module, "layer_idx", None) for module in modules],
        "parameters": [
            (name, parameter.requires_grad, id(parameter.grad)) for name, parameter in model.named_parameters()
        ],
        "weights": [tensor.double().sum().item() for tensor in model.state_dict().values()],
        "configs": [settings_of(getattr(module, "config", None)) for module in modules],
        "generation": settings_of(getattr(model, "generation_config", None)),
        "dtype": torch.get_default_dtype(),
        "torch": torch.get_rng_state().tolist(),
        "cuda": [state.tolist() for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else [],
        "numpy": str(np.random.get_state()),
        "random": random.getstate(),
        "inference": torch.is_inference_mode_enabled(),
        "gradients": torch.is_grad_enabled(),
    }


def disordered(model):
    """The model in a state that is no default: parts in evaluation mode, gradients kept, a hook, other settings."""
    model.train()
    blocks = [module for module in model.modules() if hasattr(module, "training")]
    for module in blocks[1::3]:
        module.training = False
    for index, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(index % 2 == 0)
        parameter.grad = torch.ones_like(parameter) if index % 3 == 0 else None
    blocks[2].register_forward_hook(lambda *_: None)
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = True
    model.config.output_hidden_states = True
    return model


def drawing(model, batches, error: BaseException | None = None):
    """The batches, from an iterator that draws random numbers and changes settings, and fails after the first."""
    for batch in batches:
        torch.rand(3), np.random.rand(3), random.random()
        yield batch
        torch.set_default_dtype(torch.float64)
        model.config.use_cache = False
        model.config.pad_token_id = 5
        if error:
            raise error
