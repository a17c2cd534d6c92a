"""The fast activations against PyTorch's own: values, gradients, and numbers at the limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from worldplan.world_models.latent.activations import Elu, Tanh, elu, tanh

PAIRS = [(elu, functional.elu), (tanh, torch.tanh)]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_values_and_gradients_are_pytorchs(
    ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor]
) -> None:
    torch.manual_seed(0)
    inputs = torch.cat(
        [
            torch.randn(1000) * 5,
            torch.tensor(
                [0.0, -0.0, 1e-7, -1e-7, 50.0, -50.0, 200.0, -200.0, torch.inf, -torch.inf]
            ),
        ]
    )
    weight = torch.randn(len(inputs))
    found = []
    for function in (ours, theirs):
        leaf = inputs.clone().requires_grad_()
        outputs = function(leaf)
        (outputs[:-2] * weight[:-2]).sum().backward()
        found.append((outputs.detach(), leaf.grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)
    assert bool(ours(torch.tensor([torch.nan])).isnan().all())


@pytest.mark.parametrize(("ours", "theirs"), [(Elu(), nn.ELU()), (Tanh(), nn.Tanh())])
def test_the_layers_leave_their_input_alone(ours: nn.Module, theirs: nn.Module) -> None:
    inputs = torch.linspace(-3, 3, 50, dtype=torch.float64)
    before = inputs.clone()
    torch.testing.assert_close(ours(inputs), theirs(inputs))
    assert torch.equal(inputs, before)


@pytest.mark.parametrize("ours", [elu, tanh])
def test_gradients_by_differences(ours: Callable[[Tensor], Tensor]) -> None:
    inputs = torch.linspace(-2.05, 2, 20, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ours, inputs)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_they_work_under_functional_transforms(
    ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor]
) -> None:
    inputs = torch.linspace(-3, 3, 12).view(3, 4)
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            torch.testing.assert_close(torch.vmap(ours, in_dims=1)(inputs), theirs(inputs.T))
    slopes = [
        torch.vmap(torch.func.grad(lambda row, function=function: function(row).sum()))(inputs)
        for function in (ours, theirs)
    ]
    torch.testing.assert_close(*slopes)
