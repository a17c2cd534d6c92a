"""The two Minecraft tasks of the RAMP paper (arXiv 2502.13006) as a gymnasium environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from worldplan.envs.crafting.dynamics import (
    TABLE,
    Atoms,
    Call,
    CountState,
    Dynamics,
    Fluents,
    MapState,
    dynamics_of,
)
from worldplan.envs.crafting.generator import check_size, generate, generate_counts
from worldplan.envs.crafting.render import pixels, text
from worldplan.envs.crafting.rules import (
    ITEMS,
    CraftingCounts,
    CraftingInstance,
    CraftingMap,
    Task,
    Variant,
    recipes,
)
from worldplan.milp import checks
from worldplan.milp.errors import ConfigError, InfeasibleAction

# steps per episode; the limits of the paper's online experiments
MAX_STEPS: Mapping[Task, int] = {"wooden_sword": 200, "pogo_stick": 1500}
MAX_COUNT = 2**24  # no count can exceed it, see `rules.MAX_START`


class CraftingEnv(gym.Env[NDArray[np.float32], np.int64]):
    """Gather and craft until the goal item is made. The reward is 1 at the goal, which terminates
    the episode, and 0 before.

    An action that is not applicable changes nothing and counts as a step.

    Actions of the map variant, in order: TP_TO for every cell; BREAK, CRAFT_PLANK, CRAFT_STICK;
    then CRAFT_WOODEN_SWORD (sword), or CRAFT_TREE_TAP, CRAFT_WOODEN_POGO, PLACE_TREE_TAP (pogo
    stick). The basic variant has no TP_TO, and GET_LOG instead of BREAK.

    Observations are float32 and not normalised. Items are log, planks, stick and, for the pogo
    stick, sack and tree tap:

    * map (3 + size**2 + items,): [block under the agent, block of each cell, amount of each item,
      amount of the goal item, the agent's cell]; blocks are 0 (air), 1 (tree), 2 (table);
    * basic (2 + items,): [trees left, amount of each item, amount of the goal item].

    `info` has `action_mask` (bool (actions,), which actions are applicable now) and, after a step,
    `applied` (whether the action was applicable) and `is_success`.

    Args:
        task: "wooden_sword" or "pogo_stick".
        variant: "map" or "basic".
        maps: one instance, from which every episode starts, or several, from which each reset draws
            one. By default each reset draws a new solvable instance.
        size: cells per side; by default that of `maps`, or 6. The basic variant takes its number of
            trees from random maps of this size.
        max_steps: steps after which an episode is truncated; by default 200 (sword) or 1500 (pogo
            stick).
        tap_consumed: whether PLACE_TREE_TAP consumes the tap (basic pogo stick only; see
            `rules.recipes`).
        render_mode: "ansi" (text), "rgb_array" (pixels) or None.

    Raises:
        ConfigError: an argument is out of range, or `maps` do not fit the task, the variant, the
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
        task_recipes = recipes(task, variant, tap_consumed)
        render_modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in render_modes:
            raise ConfigError(
                f"render_mode '{render_mode}': must be one of {', '.join(render_modes)}, or None"
            )
        if size is not None:
            checks.whole_number(size, "size", least=1)
        self.task, self.variant, self.tap_consumed = task, variant, tap_consumed
        self.render_mode = render_mode
        instances = _instances_of(maps)
        first = instances[0] if instances else None
        self.size = (
            size if size is not None else first.size if isinstance(first, CraftingMap) else 6
        )
        if not instances:
            check_size(self.size)
        self.max_steps = MAX_STEPS[task]
        if max_steps is not None:
            self.max_steps = checks.whole_number(max_steps, "max_steps", least=1)
        self.maps = tuple(self._checked(instance) for instance in instances)
        cells = self.size**2 if variant == "map" else 0
        high = self._largest_observation(cells)
        self.observation_space = spaces.Box(np.zeros_like(high), high, dtype=np.float32)
        self.action_space: spaces.Discrete = spaces.Discrete(cells + len(task_recipes))
        self._steps: int | None = None  # steps of this episode; None before the first reset

    def _largest_observation(self, cells: int) -> NDArray[np.float32]:
        """Upper bounds of the observation, in its shape; `cells` is 0 in the basic variant."""
        counts = [MAX_COUNT] * len(ITEMS[self.task])
        if not cells:
            return np.array([MAX_COUNT, *counts, 1], np.float32)
        return np.array([TABLE] * (1 + cells) + [*counts, 1, cells - 1], np.float32)

    def _checked(self, instance: Any) -> CraftingInstance:
        """The instance itself.

        Raises:
            ConfigError: the instance does not fit this environment.
        """
        if not isinstance(instance, CraftingMap | CraftingCounts):
            raise ConfigError(
                f"crafting map {instance!r}: "
                "must be a CraftingMap, or CraftingCounts in the basic variant"
            )
        if (instance.task, instance.variant) != (self.task, self.variant):
            raise ConfigError(
                f"crafting map: is a {instance.variant} {instance.task}, "
                f"this environment a {self.variant} {self.task}"
            )
        if isinstance(instance, CraftingMap) and instance.size != self.size:
            raise ConfigError(
                f"crafting map: is {instance.size} x {instance.size}, "
                f"this environment {self.size} x {self.size}"
            )
        return instance

    def _draw_instance(self) -> CraftingInstance:
        if self.maps:
            return self.maps[int(self.np_random.integers(len(self.maps)))]
        if self.variant == "map":
            return generate(self.task, self.size, 1, self.np_random)[0]
        return generate_counts(self.task, self.size, 1, self.np_random, self.tap_consumed)[0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode. Returns the observation and `info`, shapes as in the class.

        Args:
            seed: seeds the draw of instances.
            options: {"map": instance} replaces `maps`: this reset and all later ones start from
                that instance.

        Raises:
            ConfigError: an unknown option, or an instance that does not fit.
        """
        super().reset(seed=seed)
        unknown = set(options or {}) - {"map"}
        if unknown:
            raise ConfigError(f"reset options {sorted(unknown)}: the only option is 'map'")
        if options:
            self.maps = (self._checked(options["map"]),)
        self.instance = self._draw_instance()
        self._dynamics = dynamics_of(self.instance, self.tap_consumed)
        self._state: Any = self._dynamics.start
        self._steps = 0
        return self._dynamics.observe(self._state), {"action_mask": self.action_masks()}

    def step(
        self, action: np.int64 | int
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one action. Returns observation, reward, terminated, truncated and `info`, shapes as
        in the class.

        Raises:
            InfeasibleAction: the action is not in the action space.
            ResetNeeded: no episode is running (`gymnasium.error`).
        """
        if self._steps is None or self._state.reached or self._steps >= self.max_steps:
            raise gym.error.ResetNeeded("crafting: no episode is running: call reset() first")
        index = self._index(action)
        applied = self._dynamics.applicable(self._state, index)
        if applied:
            self._state = self._dynamics.successor(self._state, index)
        self._steps += 1
        reached = bool(self._state.reached)
        info = {"action_mask": self.action_masks(), "applied": applied, "is_success": reached}
        truncated = not reached and self._steps >= self.max_steps
        return self._dynamics.observe(self._state), float(reached), reached, truncated, info

    def _index(self, action: np.int64 | int) -> int:
        """The action as a Python integer.

        Raises:
            InfeasibleAction: the action is not in the action space.
        """
        if not self.action_space.contains(action):
            raise InfeasibleAction(
                f"action {action!r}: must be a whole number from 0 to {self.action_space.n - 1}"
            )
        return int(action)

    def _current_dynamics(self) -> Dynamics:
        """The dynamics of the current instance.

        Raises:
            ResetNeeded: before the first reset (`gymnasium.error`).
        """
        if self._steps is None:
            raise gym.error.ResetNeeded("crafting: there is no state yet: call reset() first")
        return self._dynamics

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are applicable now: bool (actions,). All False in a dead end of the basic
        variant.
        """
        return self._current_dynamics().mask(self._state)

    @property
    def state(self) -> MapState | CountState:
        """The current state, immutable."""
        self._current_dynamics()
        state: MapState | CountState = self._state
        return state

    @property
    def objects(self) -> dict[str, str]:
        """Name and type of every object of the symbolic view, constants included."""
        return dict(self._current_dynamics().objects)

    def symbolic_state(self) -> tuple[Atoms, Fluents]:
        """The true ground atoms of the current state and the values of its ground fluents."""
        return self._current_dynamics().symbols(self._state)

    def call(self, action: np.int64 | int) -> Call:
        """The symbolic action of a gym action in the current state, applicable or not.

        Raises:
            InfeasibleAction: the action is not in the action space.
        """
        return self._current_dynamics().call(self._state, self._index(action))

    def action_of(self, call: Call) -> int:
        """The gym action of a symbolic action in the current state; the inverse of `call`.

        Raises:
            InfeasibleAction: there is none: the name or the objects are unknown, or the agent
                stands on another cell.
        """
        return self._current_dynamics().action_of(self._state, tuple(call))

    def render(self) -> str | NDArray[np.uint8] | None:
        """A picture of the current state: text, or uint8 pixels (height, width, 3), as the render
        mode says; None without a render mode.
        """
        dynamics = self._current_dynamics()
        if self.render_mode is None:
            gym.logger.warn("crafting: render() needs render_mode 'ansi' or 'rgb_array'")
            return None
        if self.render_mode == "ansi":
            return text(dynamics, self._state)
        return pixels(dynamics, self._state)


def _instances_of(
    maps: CraftingInstance | Sequence[CraftingInstance] | None,
) -> tuple[CraftingInstance, ...]:
    """The argument `maps` of `CraftingEnv` as a tuple; empty for None.

    Raises:
        ConfigError: an empty sequence.
    """
    if maps is None:
        return ()
    if isinstance(maps, CraftingMap | CraftingCounts):
        return (maps,)
    instances = tuple(maps)
    if not instances:
        raise ConfigError("maps: the sequence is empty: give at least one, or None for random ones")
    return instances
