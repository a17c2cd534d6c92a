"""A checker of dynamics models, in the manner of gymnasium's `check_env`.

```python
from worldplan.envs.dynamics import MujocoDynamics, check_model

check_model(MujocoDynamics("InvertedPendulum-v5"))
```

By default the rows are drawn. `check_model(model, data.observation, data.action)` takes those of a
dataset.

Every violation of the interface (`DynamicsModel`) is one line that names the method, what it did
and what to change. A model that a setting names by its address is checked once, when it is made.
"""

from __future__ import annotations

import inspect
from typing import Any, NoReturn

import torch
from torch import Tensor

from worldplan.envs.dynamics.compared import Rows, difference, global_state, rows_of, torch_settings
from worldplan.envs.dynamics.model import DynamicsModel, Members, Prediction
from worldplan.milp import checks
from worldplan.milp.addresses import own_errors
from worldplan.milp.errors import ConfigError

ROWS = 33  # of a batch with many rows
SEEDS = (0, 1)


def check_model(
    model: Any,
    observation: Any = None,
    action: Any = None,
    *,
    state: Any = None,
    name: str | None = None,
) -> None:
    """Refuse a dynamics model that breaks the interface `DynamicsModel`.

    Checked are: sizes, arguments and result of `step`, shapes, types and devices for one and many
    rows; that no input is changed and no earlier result overwritten; that a generator decides all
    random numbers; that a row's prediction does not depend on the other rows, their order, or the
    layout of the input in memory, nor on earlier calls; that finite rows are predicted as finite
    numbers; that torch's settings stay; `to`; and `reset`, where a simulator has it. `step` is
    called about 15 times.

    Args:
        model: the model.
        observation: (n, observation), rows of data; None: standard normal numbers. Finite
            predictions are required of all rows of data, and of some of the drawn ones.
        action: (n, action), the same for actions.
        state: (n, state_size), for a model with a simulator state. Without it and without a method
            `reset(count, generator)` that returns observations and states, `step` is not called.
        name: of the model in messages; None: its class.

    Raises:
        ConfigError: the model breaks the interface.
    """
    _Check(model, name or f"{type(model).__name__}").run(observation, action, state)


class _Check:
    """The checks of one model."""

    def __init__(self, model: Any, name: str) -> None:
        self.model, self.name = model, name
        self.generator: torch.Generator | None = None
        self.random_numbers, self.settings = global_state(), torch_settings()

    def refuse(self, what: str, remedy: str) -> NoReturn:
        """Raise the violation.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"dynamics {self.name}: {what}: {remedy}")

    def run(self, observation: Any, action: Any, state: Any) -> None:
        self.check_attributes()
        rows = self.rows(observation, action, state)
        if rows is None:
            return
        few, many = rows.taken(slice(0, 1)), rows
        for batch in (few, many):
            first = rows_of(self.check_form(self.step(batch), batch, "step"), slice(None))
            self.check_members(batch)
        self.check_settings()
        self.check_inputs(many)
        self.check_results_are_kept(many)
        self.check_randomness(many)
        self.check_rows(many)
        self.check_layout(many)
        self.check_finite(many, every=observation is not None)
        self.check_to(many)
        if (part := difference(first, self.step(many), exact=True)) is not None:
            self.refuse(
                f"step: {part} of the first call is another one after further calls",
                "keep nothing between calls: what ends an episode must be in the observation",
            )

    def check_attributes(self) -> None:
        """Sizes and methods."""
        if not isinstance(self.model, DynamicsModel):
            self.refuse(
                f"a {type(self.model).__name__} lacks some of step, to, observation_size, "
                "action_size and state_size",
                "define them",
            )
        for size, least in (("observation_size", 1), ("action_size", 1), ("state_size", 0)):
            checks.whole_number(
                getattr(self.model, size), f"dynamics {self.name}: {size}", least=least
            )
        try:
            inspect.signature(self.model.step).bind(
                None, None, state=None, generator=None, members=False
            )
        except TypeError as error:
            self.refuse(
                f"step: {error}",
                "define step(self, observation, action, *, state=None, generator=None, "
                "members=False)",
            )

    def rows(self, observation: Any, action: Any, state: Any) -> Rows | None:
        """Up to `ROWS` rows to step; None for a simulator without states to step from.

        Raises:
            ConfigError: what was given does not fit the model's sizes.
        """
        model, generator = self.model, torch.Generator().manual_seed(SEEDS[0])
        if model.state_size and state is None:
            if observation is not None or not callable(getattr(model, "reset", None)):
                return None
            observed, states = self.check_reset(generator)
            return Rows(observed, self.drawn(action, "action", generator), states)
        return Rows(
            self.drawn(observation, "observation", generator),
            self.drawn(action, "action", generator),
            None if not model.state_size else self.given(state, "state", torch.float64),
        )

    def drawn(self, values: Any, name: str, generator: torch.Generator) -> Tensor:
        """The given rows, or standard normal ones, (n, size)."""
        size = getattr(self.model, f"{name}_size")
        if values is None:
            return torch.randn((ROWS, size), generator=generator)
        return self.given(values, name, torch.float32)

    def given(self, values: Any, name: str, dtype: torch.dtype) -> Tensor:
        """The first rows of what the caller gave, (n, size)."""
        size = getattr(self.model, f"{name}_size")
        table = checks.array(values, name, ("rows", size), error=ConfigError)
        return torch.tensor(table[:ROWS], dtype=dtype)

    def check_reset(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Start observations and states of a simulator, (ROWS, observation) and (ROWS, state)."""
        with own_errors(f"dynamics {self.name}: reset", "mend it, or leave the method out"):
            result = self.model.reset(ROWS, generator)
        if not isinstance(result, tuple) or len(result) != 2:
            self.refuse(
                f"reset(count, generator) returned {checks.shown(result)}",
                "return start observations and states",
            )
        observation, state = result
        wanted = torch.Size((ROWS, self.model.observation_size))
        self.check_tensor(observation, "reset: the observation", wanted, torch.float32)
        wanted = torch.Size((ROWS, self.model.state_size))
        self.check_tensor(state, "reset: the state", wanted, torch.float64)
        return observation, state

    def step(self, rows: Rows, seed: int | None = SEEDS[0], *, members: bool = False) -> Any:
        """The model's step on copies of the rows."""
        copy = rows.taken(slice(None))
        return self.step_in_place(copy, seed, members=members)

    def step_in_place(self, rows: Rows, seed: int | None, *, members: bool = False) -> Any:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        self.generator = generator
        with own_errors(f"dynamics {self.name}: step", "mend it"):
            return self.model.step(
                rows.observation,
                rows.action,
                state=rows.state,
                generator=generator,
                members=members,
            )

    def check_tensor(self, value: Any, what: str, shape: torch.Size, dtype: torch.dtype) -> None:
        """Type, shape, dtype and device of a result."""
        expected = f"{tuple(shape)} of {dtype} on the device of the batch"
        if not isinstance(value, Tensor):
            self.refuse(f"{what} is {checks.shown(value)}", f"return a tensor {expected}")
        if value.shape != shape or value.dtype != dtype or value.device.type != "cpu":
            self.refuse(
                f"{what} has shape {tuple(value.shape)}, {value.dtype} on {value.device}",
                f"return {expected}",
            )
        if value.requires_grad:
            self.refuse(f"{what} requires a gradient", "decorate step with @torch.no_grad()")

    def check_form(self, result: Any, rows: Rows, method: str) -> Prediction:
        """The fields of a prediction, which is returned."""
        if not isinstance(result, Prediction):
            self.refuse(
                f"{method} returned {checks.shown(result)}",
                "return a Prediction(next_observation, reward, terminated)",
            )
        batch, size = len(rows), self.model.state_size
        observation = torch.Size((batch, self.model.observation_size))
        self.check_tensor(
            result.next_observation, f"{method}: next_observation", observation, torch.float32
        )
        self.check_tensor(result.reward, f"{method}: reward", torch.Size((batch,)), torch.float32)
        self.check_tensor(
            result.terminated, f"{method}: terminated", torch.Size((batch,)), torch.bool
        )
        if size:
            shape = torch.Size((batch, size))
            self.check_tensor(result.state, f"{method}: state", shape, torch.float64)
        elif result.state is not None:
            self.refuse(
                f"{method} returned a state, but state_size is 0",
                "leave state out, or set its size",
            )
        return result

    def check_settings(self) -> None:
        if (left := torch_settings()) != self.settings:
            changes = [
                f"{after} where {before} was"
                for before, after in zip(self.settings, left, strict=True)
                if before != after
            ]
            torch.set_default_dtype(self.settings[0])
            torch.set_grad_enabled(self.settings[1])
            self.refuse(
                f"step changes settings of torch for the whole process ({', '.join(changes)})",
                "put them back, or use a with statement or a decorator such as torch.no_grad",
            )

    def check_members(self, rows: Rows) -> None:
        """The predictions of the members, and that they change nothing else."""
        result = self.step(rows, members=True)
        self.check_form(result, rows, "step(members=True)")
        members = result.members
        if members is None:
            return
        if not isinstance(members, Members):
            self.refuse(
                f"step(members=True): members is {checks.shown(members)}",
                "return Members(mean, variance), or None",
            )
        count = members.mean.shape[0] if getattr(members.mean, "ndim", 0) else 1
        shape = torch.Size((count, len(rows), self.model.observation_size + 1))
        for part in ("mean", "variance"):
            what = f"step(members=True): members.{part}"
            self.check_tensor(getattr(members, part), what, shape, torch.float32)
        if not bool((members.variance >= 0).all()):
            self.refuse(
                "step(members=True): a variance is negative or NaN", "return variances of 0 or more"
            )

    def check_inputs(self, rows: Rows) -> None:
        copy = rows.taken(slice(None))
        self.step_in_place(copy, SEEDS[0])
        for part in ("observation", "action", "state"):
            before, after = getattr(rows, part), getattr(copy, part)
            if before is not None and not torch.equal(before, after):
                self.refuse(
                    f"step changes its argument {part}", f"work on a copy: {part} = {part}.clone()"
                )

    def check_randomness(self, rows: Rows) -> None:
        """Equal generators give equal predictions; global random numbers are left alone."""
        first, again = self.step(rows), self.step(rows)
        if (part := difference(first, again, exact=True)) is not None:
            self.refuse(
                f"step: two calls with equal inputs and generators give another {part}",
                "draw all random numbers with generator=generator, and keep nothing between calls",
            )
        if global_state() != self.random_numbers:
            self.refuse(
                "step uses the global random numbers of torch or numpy",
                "draw all of them with generator=generator",
            )
        self.check_form(self.step(rows, None), rows, "step(generator=None)")

    def drawn_so_far(self) -> bytes:
        """The state of the generator after the last step."""
        return b"" if self.generator is None else self.generator.get_state().numpy().tobytes()

    def check_rows(self, rows: Rows) -> None:
        """A row's prediction depends on this row alone."""
        whole, half = self.step(rows), len(rows) // 2
        drawn = self.drawn_so_far()
        if half:
            changed = torch.cat(
                [torch.arange(half), torch.zeros(len(rows) - half, dtype=torch.long)]
            )
            part = difference(
                rows_of(self.step(rows.taken(changed)), slice(0, half)),
                rows_of(whole, slice(0, half)),
            )
            # where other rows need more or fewer draws, those of this row are others
            if part is not None and drawn == self.drawn_so_far():
                self.refuse(
                    f"step: {part} of a row changes with the other rows of the batch",
                    "compute every row from its own observation and action only",
                )
        if difference(whole, self.step(rows, SEEDS[1])) is not None:
            return  # random: another order or number of rows means other draws
        order = torch.arange(len(rows)).flip(0)
        if (part := difference(self.step(rows.taken(order)), rows_of(whole, order))) is not None:
            self.refuse(
                f"step: {part} depends on the order of the rows", "compute every row by itself"
            )
        for row in (0, len(rows) - 1):
            single = slice(row, row + 1)
            part = difference(self.step(rows.taken(single)), rows_of(whole, single))
            if part is not None:
                self.refuse(
                    f"step: {part} of a row alone differs from that of the row in a batch",
                    "compute every row by itself",
                )

    def check_layout(self, rows: Rows) -> None:
        whole = self.step(rows)
        with_gaps = self.step_in_place(rows.strided(), SEEDS[0])
        if (part := difference(whole, with_gaps)) is not None:
            self.refuse(
                f"step: {part} is another one for arrays that are not contiguous",
                "index the arrays instead of reading their memory, or call contiguous() first",
            )

    def check_results_are_kept(self, rows: Rows) -> None:
        first = self.step(rows)
        kept = rows_of(first, slice(None))
        order = torch.arange(len(rows)).flip(0)
        self.step(rows.taken(order))
        self.step(rows.taken(slice(0, 1)))
        if (part := difference(first, kept, exact=True)) is not None:
            self.refuse(
                f"step: the next call overwrites {part} of the result", "return a new tensor"
            )

    def check_finite(self, rows: Rows, *, every: bool) -> None:
        """Finite predictions of all rows, or, of drawn ones, of some."""
        result = self.step(rows)
        for part in ("next_observation", "reward", "state"):
            value = getattr(result, part)
            if value is None:
                continue
            bad = ~value.isfinite().reshape(len(rows), -1).all(1)
            if bool(bad.any() if every else bad.all()):
                row = int(bad.nonzero()[0, 0])
                self.refuse(
                    f"step: {part} of row {row} is not finite, though the row is",
                    "clamp what is out of range, or mark the row as terminated with finite numbers",
                )

    def check_to(self, rows: Rows) -> None:
        before = self.step(rows)
        with own_errors(f"dynamics {self.name}: to", "mend it; without parameters it does nothing"):
            self.model.to("cpu")
            self.model.to(torch.device("cpu"))
        if (part := difference(before, self.step(rows), exact=True)) is not None:
            self.refuse(f"to: changes {part} of the next step", "move the parameters only")
