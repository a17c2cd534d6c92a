"""The two Minecraft tasks of the RAMP paper (arXiv 2502.13006) as gymnasium environments that need
no Minecraft.

Importing this module registers `worldplan/WoodenSwordMap6-v0`, `...Map10-v0`, `...Map15-v0`,
`worldplan/WoodenSwordBasic-v0` and the same for `PogoStick`;
`gymnasium.make("worldplan.envs.crafting:worldplan/PogoStickMap6-v0")` imports it by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from worldplan.envs.crafting import render as crafting_render
from worldplan.envs.crafting.dynamics import (
    Atoms,
    Call,
    CountState,
    Dynamics,
    Fluents,
    MapState,
    dynamics_of,
)
from worldplan.envs.crafting.generator import check_size, generate, generate_counts
from worldplan.envs.crafting.rules import (
    ITEMS,
    CraftingCounts,
    CraftingInstance,
    CraftingMap,
    Task,
    Variant,
    recipes,
)
from worldplan.milp.errors import ConfigError, InfeasibleAction

MAX_STEPS: Mapping[Task, int] = {
    "wooden_sword": 200,
    "pogo_stick": 1500,
}  # the paper's online limits
SIZES = (6, 10, 15)  # the paper's


class CraftingEnv(gym.Env[NDArray[np.float32], np.int64]):
    """Gather, craft, reach the goal item: reward 1 and termination there, nothing before.

    An action that is not applicable changes nothing and uses a step. Actions are, in the map
    variant, TP_TO of every cell, then BREAK, CRAFT_PLANK, CRAFT_STICK, and CRAFT_WOODEN_SWORD, or
    CRAFT_TREE_TAP, CRAFT_WOODEN_POGO, PLACE_TREE_TAP; in the basic variant the same with GET_LOG
    for BREAK and without TP_TO. Observations are raw numbers, float32:

    * map: [block under the agent, block of each cell, items, goal item, agent's cell], blocks being
      0 air, 1 tree, 2 table;
    * basic: [trees left, items, goal item].

    Items are log, planks, stick and, for the pogo stick, sack and tree tap. `info` has
    `action_mask` (what is truly applicable now) and, after a step, `applied` (whether that action
    was applicable) and `is_success`.

    Args:
        task: "wooden_sword" or "pogo_stick".
        variant: "map" or "basic".
        maps: one instance, always started from, or several, of which each reset draws one; when not
            given, each reset draws a new solvable one.
        size: cells per side; that of `maps` by default, else 6. In the basic variant, of the random
            maps whose trees are counted.
        max_steps: when an episode is cut off; 200 (sword) or 1500 (pogo stick) by default.
        tap_consumed: whether PLACE_TREE_TAP uses the tap up (basic pogo stick only; see
            `crafting_rules.recipes`).
        render_mode: "ansi" (text), "rgb_array" (pixels) or None.

    Raises:
        ConfigError: an argument out of range, or maps that do not fit the task, the variant, the
            size or each other.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 4}

    def __init__(
        self,
        task: Task,
        variant: Variant = "map",
        maps: CraftingInstance | Sequence[CraftingInstance] | None = None,
        *,
        size: int | None = None,
        max_steps: int | None = None,
        tap_consumed: bool = False,
        render_mode: str | None = None,
    ) -> None:
        known = recipes(task, variant, tap_consumed)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ConfigError(
                f"render_mode '{render_mode}': must be one of {', '.join(self.metadata['render_modes'])}, or None"
            )
        self.task, self.variant, self.tap_consumed, self.render_mode = (
            task,
            variant,
            tap_consumed,
            render_mode,
        )
        given = (
            (maps,)
            if isinstance(maps, CraftingMap | CraftingCounts)
            else ()
            if maps is None
            else tuple(maps)
        )
        if maps is not None and not given:
            raise ConfigError(
                "maps: the sequence is empty: give at least one, or None for random ones"
            )
        first = given[0] if given else None
        self.size = (
            size if size is not None else first.size if isinstance(first, CraftingMap) else 6
        )
        if not given:
            check_size(self.size)
        self.max_steps = MAX_STEPS[task] if max_steps is None else max_steps
        if self.max_steps < 1:
            raise ConfigError(f"max_steps {max_steps}: must be at least 1")
        self.maps = tuple(self._fitting(one) for one in given)
        cells = self.size**2 if variant == "map" else 0
        low, high = self._bounds(cells)
        self.observation_space = spaces.Box(low, high, dtype=np.float32)
        self.action_space: spaces.Discrete = spaces.Discrete(cells + len(known))
        self._steps: int | None = None  # of this episode; None while there is none

    def _bounds(self, cells: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Least and greatest observation; no rule bounds a count, see `crafting_rules.MOST`."""
        counts = [2**24] * len(ITEMS[self.task])
        high = np.array(
            [2] * (1 + cells) + [*counts, 1, cells - 1] if cells else [2**24, *counts, 1],
            np.float32,
        )
        return np.zeros_like(high), high

    def _fitting(self, instance: Any) -> CraftingInstance:
        """Raises ConfigError: it does not fit this environment."""
        if not isinstance(instance, CraftingMap | CraftingCounts):
            raise ConfigError(
                f"crafting map {instance!r}: must be a CraftingMap, or CraftingCounts in the basic variant"
            )
        if (instance.task, instance.variant) != (self.task, self.variant):
            raise ConfigError(
                f"crafting map: is a {instance.variant} {instance.task}, this environment a {self.variant} {self.task}"
            )
        if isinstance(instance, CraftingMap) and instance.size != self.size:
            raise ConfigError(
                f"crafting map: is {instance.size} x {instance.size}, this environment {self.size} x {self.size}"
            )
        return instance

    def _draw(self) -> CraftingInstance:
        if self.maps:
            return self.maps[int(self.np_random.integers(len(self.maps)))]
        if self.variant == "map":
            return generate(self.task, self.size, 1, self.np_random)[0]
        return generate_counts(self.task, self.size, 1, self.np_random, self.tap_consumed)[0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode.

        `options={"map": instance}` replaces `maps`: this reset and all later ones start from it.

        Raises:
            ConfigError: another option, or a map that does not fit.
        """
        super().reset(seed=seed)
        unknown = set(options or {}) - {"map"}
        if unknown:
            raise ConfigError(f"reset options {sorted(unknown)}: the only option is 'map'")
        if options:
            self.maps = (self._fitting(options["map"]),)
        self.instance = self._draw()
        self._dynamics = dynamics_of(self.instance, self.tap_consumed)
        self._state: Any = self._dynamics.start
        self._steps = 0
        return self._dynamics.observe(self._state), {"action_mask": self.action_masks()}

    def step(
        self, action: np.int64 | int
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One action.

        Raises:
            InfeasibleAction: the number is not in the action space.
            gymnasium.error.ResetNeeded: no episode is running.
        """
        if self._steps is None or self._state.reached or self._steps >= self.max_steps:
            raise gym.error.ResetNeeded("crafting: no episode is running: call reset() first")
        number = self._number(action)
        applied = self._dynamics.applicable(self._state, number)
        if applied:
            self._state = self._dynamics.successor(self._state, number)
        self._steps += 1
        won = bool(self._state.reached)
        info = {"action_mask": self.action_masks(), "applied": applied, "is_success": won}
        return (
            self._dynamics.observe(self._state),
            float(won),
            won,
            not won and self._steps >= self.max_steps,
            info,
        )

    def _number(self, action: np.int64 | int) -> int:
        if not self.action_space.contains(action):
            raise InfeasibleAction(
                f"action {action!r}: must be a whole number from 0 to {self.action_space.n - 1}"
            )
        return int(action)

    def _running(self) -> Dynamics:
        if self._steps is None:
            raise gym.error.ResetNeeded("crafting: there is no state yet: call reset() first")
        return self._dynamics

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are applicable now (actions,); all False in a dead end of the basic
        variant.
        """
        return self._running().mask(self._state)

    @property
    def state(self) -> MapState | CountState:
        """The full current state, immutable."""
        self._running()
        return self._state

    @property
    def objects(self) -> dict[str, str]:
        """Name and type of every object of the symbolic view, constants included."""
        return dict(self._running().objects)

    def symbolic_state(self) -> tuple[Atoms, Fluents]:
        """The current state as its true ground atoms and the values of its ground fluents."""
        return self._running().symbols(self._state)

    def call(self, action: np.int64 | int) -> Call:
        """The symbolic action that a gym action stands for in the current state, applicable or not.

        Raises:
            InfeasibleAction: the number is not in the action space.
        """
        return self._running().call(self._state, self._number(action))

    def action_of(self, call: Call) -> int:
        """The inverse of `call`.

        Raises:
            InfeasibleAction: no gym action means this in the current state (an unknown name, or the
                agent stands elsewhere).
        """
        return self._running().action_of(self._state, tuple(call))

    def render(self) -> str | NDArray[np.uint8] | None:
        """Text or pixels (height, width, 3), after the render mode."""
        dynamics = self._running()
        if self.render_mode is None:
            gym.logger.warn("crafting: render() needs render_mode 'ansi' or 'rgb_array'")
            return None
        return (crafting_render.text if self.render_mode == "ansi" else crafting_render.pixels)(
            dynamics, self._state
        )


def _register() -> None:
    for task, name in (("wooden_sword", "WoodenSword"), ("pogo_stick", "PogoStick")):
        gym.register(
            f"worldplan/{name}Basic-v0",
            "worldplan.envs.crafting.environment:CraftingEnv",
            kwargs={"task": task, "variant": "basic"},
        )
        for size in SIZES:
            gym.register(
                f"worldplan/{name}Map{size}-v0",
                "worldplan.envs.crafting.environment:CraftingEnv",
                kwargs={"task": task, "variant": "map", "size": size},
            )


_register()
