"""The closed-form action gradient, the diversity term, the actor's density and the ring buffer
against direct computations.
"""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.planners.offline.actor import SquashedActor
from worldplan.planners.offline.critics import Critics, diversity_loss
from worldplan.planners.offline.replay import Batch, RingBuffer, pack, unpack


def _critics(seeds, critics, hidden, seed=0, layer_norm=False, sizes=(4, 3)):
    dtype, generator = torch.float64, torch.Generator().manual_seed(seed)
    network = Critics(
        *sizes, critics, hidden, layer_norm=layer_norm, seeds=seeds, generator=generator
    ).to(dtype)
    with torch.no_grad():  # away from the near-zero initial values
        for parameter in network.parameters():
            parameter.add_(
                0.3
                * torch.randn(
                    parameter.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=dtype
                )
            )
    return network


def _pairwise(gradients):
    """EDAC's term with loops."""
    seeds, count, batch, _ = gradients.shape
    total = []
    for s in range(seeds):
        unit = gradients[s] / (gradients[s].norm(dim=-1, keepdim=True) + 1e-10)
        pairs = [(unit[i] * unit[j]).sum(-1) for i in range(count) for j in range(count) if i != j]
        total.append(torch.stack(pairs).sum(0).mean() / (count - 1))
    return torch.stack(total)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(2, 5),
    st.sampled_from([(8,), (3, 3), (8, 6), (7, 8, 5), (5, 5, 5, 5)]),
    st.booleans(),
    st.sampled_from([(4, 3), (1, 1), (2, 5)]),
    st.integers(0, 10**6),
)
def test_gradients_and_diversity_equal_double_backward(
    seeds, count, hidden, layer_norm, sizes, seed
):
    critics = _critics(seeds, count, hidden, seed, layer_norm, sizes)
    generator = torch.Generator().manual_seed(seed)
    observation = torch.randn((seeds, 6, sizes[0]), generator=generator, dtype=torch.float64)
    action = torch.rand((seeds, 6, sizes[1]), generator=generator, dtype=torch.float64) * 2 - 1

    values, gradients = critics.with_action_gradients(observation, action)
    ours = torch.autograd.grad(
        diversity_loss(gradients).sum() + values.square().sum(), list(critics.parameters())
    )

    parts = []
    again = []
    for index in range(count):  # one critic after the other, gradient by autograd
        free = action.clone().requires_grad_(True)
        value = critics(observation, free)[:, index]
        again.append(value)
        parts.append(torch.autograd.grad(value.sum(), free, create_graph=True)[0])
    direct = torch.stack(parts, 1)
    torch.testing.assert_close(gradients, direct, rtol=1e-9, atol=1e-12)
    loss = _pairwise(direct).sum() + torch.stack(again, 1).square().sum()
    reference = torch.autograd.grad(loss, list(critics.parameters()), allow_unused=True)
    for mine, other in zip(ours, reference, strict=True):
        torch.testing.assert_close(
            mine, torch.zeros_like(mine) if other is None else other, rtol=1e-7, atol=1e-6
        )


def test_diversity_is_bounded_and_highest_for_equal_gradients():
    same = torch.ones(1, 5, 3, 2)
    assert torch.allclose(
        diversity_loss(same), torch.tensor([5.0])
    )  # N (N - 1) pairs of cosine 1, over N - 1
    opposite = torch.stack([torch.ones(3, 2), -torch.ones(3, 2)])[None]
    assert torch.allclose(diversity_loss(opposite), torch.tensor([-2.0]))


def test_seeds_do_not_touch_each_other():
    both, generator = _critics(2, 3, (8, 8)), torch.Generator().manual_seed(0)
    observation, action = (
        torch.randn((2, 5, 4), generator=generator).double(),
        torch.rand((2, 5, 3), generator=generator).double(),
    )
    before = both(observation, action)
    with torch.no_grad():
        for parameter in both.parameters():
            parameter[3:] += 1.0  # the second seed's critics
    after = both(observation, action)
    torch.testing.assert_close(after[0], before[0])
    assert not torch.allclose(after[1], before[1])


def test_actor_density_equals_the_change_of_variables():
    generator = torch.Generator().manual_seed(0)
    actor = SquashedActor(
        3, torch.tensor([-2.0, 0.0]), torch.tensor([2.0, 1.0]), (16,), generator=generator
    ).double()
    observation = torch.randn((1, 400, 3), generator=generator, dtype=torch.float64)
    action, density = actor.sample(observation, generator)
    assert (action >= actor.low).all() and (action <= actor.high).all()
    mean, log_std = actor(observation)
    unit = ((action - actor.low) / (actor.high - actor.low) * 2 - 1).clamp(-1 + 1e-12, 1 - 1e-12)
    normal = torch.distributions.Normal(mean, log_std.exp())
    distribution = torch.distributions.TransformedDistribution(
        normal, torch.distributions.TanhTransform(cache_size=1)
    )
    torch.testing.assert_close(density, distribution.log_prob(unit).sum(-1), rtol=1e-6, atol=1e-6)


def test_pack_and_unpack():
    generator = torch.Generator().manual_seed(0)
    batch = Batch(
        torch.randn((2, 5, 4), generator=generator),
        torch.randn((2, 5, 3), generator=generator),
        torch.randn((2, 5), generator=generator),
        torch.randn((2, 5, 4), generator=generator),
        torch.tensor([[0, 1, 0, 0, 1.0]] * 2),
        torch.arange(10.0).view(2, 5),
    )
    back = unpack(pack(batch), 4)
    for name in Batch.__dataclass_fields__:
        torch.testing.assert_close(getattr(back, name), getattr(batch, name))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.booleans(), min_size=1, max_size=7), min_size=1, max_size=8),
    st.integers(7, 12),
)
def test_ring_buffer_keeps_the_newest_rows(blocks, capacity):
    """Against a Python list per seed; the second seed keeps what the first drops."""
    buffer, kept, number = RingBuffer(2, capacity, 1), [[], []], 0
    for block in blocks:
        keep = torch.tensor([block, [not value for value in block]])
        rows = torch.arange(number, number + keep.numel(), dtype=torch.float32).view(2, -1, 1)
        number += keep.numel()
        buffer.add(rows, keep)
        for seed in range(2):
            kept[seed] = (kept[seed] + rows[seed, keep[seed], 0].tolist())[-capacity:]
    for seed in range(2):
        assert int(buffer.filled[seed]) == len(kept[seed])
        held = buffer.rows[seed, : len(kept[seed]), 0].tolist()
        assert sorted(held) == sorted(kept[seed])


def test_ring_buffer_draws_every_row_equally_often():
    buffer = RingBuffer(2, 10, 1)
    buffer.add(
        torch.arange(8.0).view(2, 4, 1), torch.tensor([[True] * 4, [True, False, True, False]])
    )
    drawn = buffer.draw(8000, torch.Generator().manual_seed(0))[..., 0]
    counts = np.bincount(drawn[0].long().numpy(), minlength=4)
    assert (abs(counts - 2000) < 200).all()
    assert set(drawn[1].tolist()) == {4.0, 6.0}
