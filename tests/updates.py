"""The state after a step: weights and moments of a training with the shipped optimisers against
those of a copy that takes plain steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Optimizer


def plain_optimizer(shipped: Optimizer, module: nn.Module, copy: nn.Module) -> Optimizer:
    """The optimiser `shipped` of `module`'s parameters on those of `copy`, with the same numbers:
    parameter after parameter, neither fused nor foreach.
    """
    copied = dict(zip(module.parameters(), copy.parameters(), strict=True))
    plain = {"fused": False, "foreach": False}
    groups = [
        {**group, **plain, "params": [copied[parameter] for parameter in group["params"]]}
        for group in shipped.param_groups
    ]
    return type(shipped)(groups)


def assert_equal_states(
    actual: nn.Module,
    expected: nn.Module,
    optimizers: Sequence[Optimizer],
    plain: Sequence[Optimizer],
    *,
    rtol: float = 1e-7,
    atol: float = 1e-11,
) -> None:
    """Compare all parameters and buffers, and all moments of the optimisers.

    Raises:
        AssertionError: naming the first weight or moment that differs.
    """
    state = expected.state_dict()
    names = {parameter: name for name, parameter in actual.named_parameters()}
    for name, value in actual.state_dict().items():
        torch.testing.assert_close(
            value, state[name], rtol=rtol, atol=atol, msg=lambda text, name=name: f"{name}: {text}"
        )
    for ours, theirs in zip(optimizers, plain, strict=True):
        groups = zip(ours.param_groups, theirs.param_groups, strict=True)
        pairs = [pair for a, b in groups for pair in zip(a["params"], b["params"], strict=True)]
        for parameter, other in pairs:
            moments, others = ours.state[parameter], theirs.state[other]
            assert moments.keys() == others.keys(), names[parameter]
            for moment, value in moments.items():
                place = f"{moment} of {names[parameter]}"
                torch.testing.assert_close(
                    value,
                    others[moment],
                    rtol=rtol,
                    atol=atol,
                    msg=lambda text, place=place: f"{place}: {text}",
                )
