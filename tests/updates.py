"""The state after a step: weights and moments of a training with the shipped optimisers, compared
with those of plain steps.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

PLAIN = {"fused": False, "foreach": False}  # one parameter after the other


def plain_optimizer(shipped: Optimizer, module: nn.Module, twin: nn.Module) -> Optimizer:
    """A plain optimiser, with the numbers of `shipped`, on the parameters of `twin` in the places
    of those of `module`.
    """
    twins = dict(zip(module.parameters(), twin.parameters(), strict=True))
    groups = [
        {**group, **PLAIN, "params": [twins[parameter] for parameter in group["params"]]}
        for group in shipped.param_groups
    ]
    return type(shipped)(groups)


def state_of(module: nn.Module, optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    """All parameters, buffers and moments by name, copied."""
    state = dict(module.state_dict())
    names = {parameter: name for name, parameter in module.named_parameters()}
    for optimizer in optimizers:
        for parameter, moments in optimizer.state.items():
            for moment, value in moments.items():
                # the dtype of the counter of steps is the default at its first step
                kept = value.double() if moment == "step" else value
                state[f"{moment} of {names[parameter]}"] = kept
    return copy.deepcopy(state)


def assert_same_state(
    actual: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    *,
    rtol: float = 1e-7,
    atol: float = 1e-11,
) -> None:
    """Compare two results of `state_of`.

    Raises:
        AssertionError: naming the first weight or moment that differs.
    """
    assert actual.keys() == expected.keys()
    for name, value in actual.items():
        torch.testing.assert_close(
            value,
            expected[name],
            rtol=rtol,
            atol=atol,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@contextmanager
def optimizers_seen() -> Iterator[list[Optimizer]]:
    """The optimisers that make steps meanwhile, in the order of their first steps."""
    seen: list[Optimizer] = []

    def remember(optimizer: Optimizer, *_: Any) -> None:
        if not any(optimizer is other for other in seen):
            seen.append(optimizer)

    hook = register_optimizer_step_pre_hook(remember)
    try:
        yield seen
    finally:
        hook.remove()


def require_one_memory_order(optimizer: Optimizer, *_: Any) -> None:
    """Check, before a step, that a fused optimiser can read parameter, gradient and moments in
    memory order.

    Raises:
        AssertionError: a parameter has gaps, or its gradient or a moment has other strides.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            # without gaps, a tensor like it has the same strides
            assert _strides(torch.empty_like(parameter)) == _strides(parameter), "a view with gaps"
            moments = dict(optimizer.state.get(parameter, {}), grad=parameter.grad)
            for name, value in moments.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    assert _strides(value) == _strides(parameter), f"{name} in another memory order"


def _strides(tensor: Tensor) -> list[int]:
    """Strides of the axes that have more than one place."""
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return [stride for size, stride in pairs if size > 1]
