"""Action values that are sums over the arms, by weights that all arms share.

    Q(s, n, a) = c_n + sum_j ( q_nj(s_j, k_j(a)) + size_nj f(x_nj(s_j, k_j(a)), z_n(s)) )

* q are values of a start that needs no training (`arm_values`), and c_n its constant;
* x are the features of an arm in its state at a level (`features`), and size_nj the largest gain of
  an intervention on the arm;
* z is the context: the mean over the arms of an encoding of their features in the present state,
  weighed by size, and features of the whole programme. It does not depend on the action;
* f is a small ReLU network, the same for all arms, states, levels and programmes. It begins as 0.

Another order of the arms gives the same values. An arm that no action changes has size 0, and
changes no other arm's values. As z does not depend on the action, Q is a table over each arm's
levels once the state is given: its exact argmax is a mixed-integer program without any neuron.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldplan.envs.bandits.environment import Floats
from worldplan.planners.bandits.sequoia.network import QNetwork
from worldplan.planners.bandits.sequoia.shared.features import CONTEXT, FEATURES, ArmFeatures


class SharedQNetwork(QNetwork):
    """The network of one programme; its weights suit others.

    Args:
        kind: of the arms, "pulls" or "levels".
        hidden: widths of the ReLU layers of f; the first one is that of the encoding, too.

    Attributes:
        start: name of the values q, see `ArmValues.starts`.
    """

    def __init__(self, kind: str, hidden: tuple[int, ...] = (16, 32)) -> None:
        super().__init__()
        self.kind, self.start = kind, "none"
        features, width = len(FEATURES[kind]), hidden[0]
        self.encode = nn.Linear(features, width)
        self.row = nn.Linear(features, width)
        self.context = nn.Linear(width + len(CONTEXT[kind]), width, bias=False)
        layers: list[nn.Module] = []
        for into, out in zip(hidden, (*hidden[1:], 1), strict=True):
            layers += [nn.ReLU(), nn.Linear(into, out)]
        self.tail = nn.Sequential(*layers)
        nn.init.zeros_(layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(layers[-1].bias)  # type: ignore[arg-type]
        self._features: ArmFeatures | None = None
        self._base: tuple[str, Tensor, Tensor] | None = None

    def attach(self, features: ArmFeatures) -> None:
        """Take the programme whose arms are valued."""
        self._features, self._base = features, None

    @property
    def features(self) -> ArmFeatures:
        """Of the programme whose arms are valued.

        Raises:
            TypeError: `attach` was not called.
        """
        if self._features is None:
            raise TypeError("a SharedQNetwork needs a programme: call attach first")
        return self._features

    def correction(self, rows: Tensor, share: Tensor, size: Tensor, context: Tensor) -> Tensor:
        """size * f, (b, arms, states, levels).

        Args:
            rows: (b, arms, states, levels, features) of the states that may be.
            share: (b, arms, states) probability of each of them.
            size: (b, arms).
            context: (b, contexts).
        """
        total = size.sum(1, keepdim=True)
        weight = size / torch.where(total > 0, total, torch.ones_like(total))
        encoded = torch.relu(self.encode(rows[..., -1, :]))  # at the strongest level
        pooled = (encoded * (share * weight[..., None])[..., None]).sum((1, 2))
        programme = self.context(torch.cat([pooled, context], 1))
        first = self.row(rows) + programme[:, None, None, None]
        corrected: Tensor = self.tail(first)[..., 0] * size[:, :, None, None]
        return corrected

    def forward(self, state: Tensor, left: Tensor, actions: Tensor) -> Tensor:
        """As `QNetwork.forward`: values (b, m) for states (b, arms), steps to go (b,) and actions
        (b, m, components).
        """
        stacked, (base, offset) = self.features.stacked, self._start_values()
        arms, steps = torch.arange(state.shape[1]), left[:, None]
        rows = stacked.rows[steps, arms, state][:, :, None]
        dtype = self.row.weight.dtype
        rows, size, context = (
            part.to(dtype) for part in (rows, stacked.size[left], stacked.context[left])
        )
        share = torch.ones((*state.shape, 1), dtype=dtype)
        values = base[steps, arms, state] + self.correction(rows, share, size, context)[:, :, 0]
        model = self.features.tables.instance.dynamics
        constant = offset[left][:, None]
        if model.effect is None:
            gain = values[..., 1] - values[..., 0]
            total = (
                values[..., 0].sum(1)[:, None] + (actions.to(gain.dtype) @ gain[..., None])[..., 0]
            )
        else:
            level = torch.as_tensor(model.level(actions.numpy()))  # (b, m, arms)
            each = values[:, None].expand(-1, level.shape[1], -1, -1)
            total = each.gather(3, level[..., None])[..., 0].sum(2)
        return total + constant

    @torch.no_grad()
    def level_values(self, features: ArmFeatures, share: Floats, left: int) -> tuple[Floats, float]:
        """Values of each arm's levels, (arms, levels), and the constant that their sum lacks.

        Args:
            features: of a programme; it need not be the one that is attached.
            share: (arms, states) probability of each arm's states, one-hot for known states.
            left: steps to go.
        """
        given, tables = features.at(left), features.tables
        known = bool((share.max(1) == 1).all())
        start, rows = tables.start(self.start, left), given.rows
        if known:  # the rows of one state for each arm
            place = share.argmax(1)[:, None]
            rows = rows[tables.arms[:, None], place]
            start = start[tables.arms[:, None], place]
            share = share.max(1, keepdims=True)
        dtype = self.row.weight.dtype
        rows_, share_, size, context = (
            torch.as_tensor(part, dtype=dtype)[None]
            for part in (rows, share, given.size, given.context)
        )
        values = start + self.correction(rows_, share_, size, context)[0].double().numpy()
        return (values * share[..., None]).sum(1), tables.offset(self.start, left)

    def _start_values(self) -> tuple[Tensor, Tensor]:
        if self._base is None or self._base[0] != self.start:
            self._base = (self.start, *self.features.base(self.start))
        return self._base[1:]
