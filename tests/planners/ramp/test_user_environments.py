"""RAMP in environments of users: floats, sets and numpy values are taken exactly; what is wrong is
one line with a remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tests.planners.ramp.builders import SMALL
from worldplan.milp.errors import ConfigError, DatasetError, InfeasibleAction
from worldplan.planners.ramp import Ramp
from worldplan.planners.ramp.settings import EXPLORERS, RampSettings
from worldplan.world_models.numeric import Vocabulary

WORDS = Vocabulary(
    "kettle",
    {"pot": "object"},
    {},
    {"on": ("pot",), "boiled": ("pot",)},
    {"heat": ("pot",)},
    {"switch": (("p", "pot"),), "warm": (("p", "pot"),), "check": (("p", "pot"),)},
)
NAMES = tuple(WORDS.actions)


class Kettle(gym.Env):
    """Switch the pot on, warm it by 0.1 three times, check it. Computes in floating point."""

    def __init__(self, **changes: Any) -> None:
        self.action_space = gym.spaces.Discrete(3)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.objects = {"kettle": "pot"}
        vars(self).update(changes)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.heat, self.facts, self.steps = 0.0, set(), 0
        return self.observe(), {}

    def observe(self) -> Any:
        return np.array([self.heat, ("on", "kettle") in self.facts, self.boiled], np.float32)

    @property
    def boiled(self) -> bool:
        return ("boiled", "kettle") in self.facts

    def step(self, action: Any) -> Any:
        self.steps += 1
        if action == 0:
            self.facts.add(("on", "kettle"))
        elif action == 1 and self.facts:
            self.heat += 0.1
        elif action == 2 and self.heat > 0.25:
            self.facts.add(("boiled", "kettle"))
        return self.observe(), float(self.boiled), self.boiled, self.steps >= 30, {}

    def symbolic_state(self) -> Any:
        return self.facts, {("heat", "kettle"): self.heat}

    def call(self, action: Any) -> Any:
        return NAMES[action], "kettle"

    def action_of(self, call: Any) -> Any:
        return NAMES.index(call[0])


GOAL = "boiled kettle"


def solved(env: Any, **changes: Any) -> Ramp:
    ramp = Ramp(env, WORDS, GOAL, replace(SMALL, **changes))
    assert ramp.run_map(400).best is not None
    return ramp


STATES: dict[str, Callable[[Kettle], Any]] = {
    "a set and floats": lambda env: (env.facts, {("heat", "kettle"): env.heat}),
    "a frozenset and numpy": lambda env: (
        frozenset(env.facts),
        {("heat", "kettle"): np.float64(env.heat)},
    ),
    "lists": lambda env: [[list(fact) for fact in env.facts], {("heat", "kettle"): env.heat}],
    "truth values": lambda env: (
        {
            ("on", "kettle"): ("on", "kettle") in env.facts,
            ("boiled", "kettle"): np.bool_(env.boiled),
        },
        {("heat", "kettle"): np.array(env.heat)},
    ),
    "whole numbers of numpy": lambda env: (
        env.facts,
        {("heat", "kettle"): np.int64(round(10 * env.heat))},
    ),
}


@pytest.mark.parametrize("form", STATES)
def test_states_of_any_form_are_taken(form: str) -> None:
    env = Kettle()
    env.symbolic_state = lambda: STATES[form](env)  # type: ignore[method-assign]
    ramp = solved(env)
    assert ramp.records[0].best is not None and ramp.records[0].best >= 5
    env.reset()
    for action in (0, 1, 1, 1):
        env.step(action)
    atoms, values = ramp.checked.symbolic_state()
    assert atoms == {("on", "kettle")}
    exact = 3 if "whole" in form else Fraction("0.30000000000000004")
    assert values == {("heat", "kettle"): exact} and type(*values.values()) in (int, Fraction)


def test_rounding_makes_sums_of_floats_affine() -> None:
    """0.1 + 0.1 + 0.1 is not 0.3: exactly as they are, the steps have several effects."""
    for decimals, learned in ((6, True), (None, False)):
        ramp = solved(Kettle(), decimals=decimals, optimism=False, curiosity=1.0)
        assert ("warm" in ramp.agent.experience.model().actions) == learned
    assert solved(Kettle(), decimals=6).records[0].broken_plans == 0
    with pytest.raises(ConfigError, match="decimals: -1"):
        RampSettings(decimals=-1)


def no_effect_is_no_failure(env: Kettle) -> None:
    step = env.step

    def applied(action: Any) -> Any:
        before = (set(env.facts), env.heat)
        *results, info = step(action)
        works = action == 0 or before != (env.facts, env.heat)
        return *results, {**info, "applied": works}

    env.step = applied  # type: ignore[method-assign]


def test_an_environment_may_tell_which_actions_are_applicable() -> None:
    """Switching on what is on changes nothing; only the environment can say that it is allowed."""
    for told in (True, False):
        env = Kettle()
        if told:
            no_effect_is_no_failure(env)
        ramp = Ramp(env, WORDS, GOAL, SMALL)
        ramp.run_map(200)
        env.reset()
        env.step(0)
        views = ramp.agent.experience.views
        again = views.view(("switch", "kettle"), ramp_state(ramp))
        tried = ramp.agent.experience.tries.get(again, 0) > 0
        assert ramp.agent.experience.known_to_fail(again) == (tried and not told)


def ramp_state(ramp: Ramp) -> Any:
    from worldplan.planners.numeric.symbolic_env import state_of

    return state_of(ramp.checked)


def constant(value: Any) -> Callable[..., Any]:
    return lambda *given, **named: value


def raising(*given: Any, **named: Any) -> Any:
    raise ValueError("the pump is broken")


def goes_on(env: Kettle) -> Any:
    step = env.step
    return lambda action: (*step(action)[:2], False, False, {})


def changing_call(env: Kettle) -> Any:
    return lambda action: (NAMES[(action + env.steps) % 3], "kettle")


def longer_call(env: Kettle) -> Any:
    return lambda action: (NAMES[action], *["kettle"] * (1 + (env.steps > 2)))


def already_there(env: Kettle) -> Any:
    reset = env.reset

    def start(**named: Any) -> Any:
        observation, info = reset(**named)
        env.facts.add(("boiled", "kettle"))
        return observation, info

    return start


def lying(env: Kettle) -> Any:
    step = env.step
    return lambda action: (*step(action)[:4], {"applied": False})


def more_actions(env: Kettle) -> Any:
    reset = env.reset

    def start(**named: Any) -> Any:
        env.action_space = gym.spaces.Discrete(4)
        return reset(**named)

    return start


VALUES = {("heat", "kettle"): 1.0}
WRONG: list[tuple[str, Callable[[Kettle], Any], str]] = [
    ("step", goes_on, r"goal holds after step\(2\), and the episode goes on: let step return"),
    ("reset", already_there, "reset returned a state in which the goal already holds"),
    ("call", longer_call, r"call\(\d\): \(.* kettle kettle\) has 2 arguments: .* with 1"),
    ("call", lambda env: constant(("stir", "kettle")), "declares no 'stir': use switch"),
    ("call", lambda env: constant(("warm", "pan")), "'pan' is not among the objects"),
    ("call", lambda env: constant(None), r"call\(0\): None: give a tuple of names"),
    ("step", lambda env: raising, r"step\(\d\): ValueError: the pump is broken \(.*line"),
    ("reset", lambda env: raising, "reset: ValueError: the pump is broken"),
    ("symbolic_state", lambda env: raising, "symbolic_state: ValueError: the pump"),
    ("call", lambda env: raising, "call.*ValueError: the pump"),
    ("step", lying, "changed the state, and info\\['applied'\\] is False"),
    ("step", lambda env: constant(3), "step returned 3"),
    ("reset", lambda env: constant(np.zeros(3)), "reset returned"),
    ("reset", more_actions, "had 3 actions and now has"),
    ("symbolic_state", lambda env: constant(3), "symbolic_state returned 3"),
    ("symbolic_state", lambda env: constant((3, {})), "the facts are 3"),
    ("symbolic_state", lambda env: constant(({"on"}, {})), "fact: 'on': give a tuple"),
    ("symbolic_state", lambda env: constant(({("hot", "kettle")}, {})), "declares no 'hot'"),
    ("symbolic_state", lambda env: constant((set(), [1])), "the fluents are"),
    ("symbolic_state", lambda env: constant((set(), {("heat", "kettle"): "hot"})), "heat kettle"),
    ("symbolic_state", lambda env: constant((set(), {("heat", "kettle"): np.nan})), "finite"),
    ("symbolic_state", lambda env: constant(({("on", "kettle"): 3}, VALUES)), "True or False"),
    ("objects", lambda env: ["kettle"], "objects is"),
    ("objects", lambda env: {"kettle": "pan"}, "type 'pan'.*: give pot"),
]


@pytest.mark.parametrize(("member", "change", "words"), WRONG)
def test_what_is_wrong_with_an_environment_is_one_line(
    member: str, change: Callable[[Kettle], Any], words: str
) -> None:
    env = Kettle()
    setattr(env, member, change(env))
    ramp = Ramp(env, WORDS, GOAL, SMALL)
    with pytest.raises((ConfigError, DatasetError), match=words) as caught:
        ramp.run_map(400)
    assert "\n" not in str(caught.value) and "Kettle" in str(caught.value)


def test_an_action_number_keeps_its_meaning_in_a_state() -> None:
    env = Kettle()
    ramp = Ramp(env, WORDS, GOAL, SMALL)
    env.call = changing_call(env)  # type: ignore[method-assign]
    with pytest.raises(
        ConfigError, match=r"call\(\d\) was \(.*\) and is now \(.*in the same state"
    ):
        ramp.run_map(400)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"action_space": gym.spaces.Discrete(3, start=1)}, "Discrete, from 0 on"),
        ({"action_space": gym.spaces.Box(0, 1, (1,))}, "make them Discrete"),
        ({"observation_space": gym.spaces.Discrete(2)}, "a Box of one axis"),
        ({"call": None}, "no method 'call'"),
    ],
)
def test_members_are_checked_at_once(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Ramp(Kettle(**changes), WORDS, GOAL, SMALL)


def test_the_goal_may_be_the_environments() -> None:
    env = Kettle()
    with pytest.raises(ConfigError, match="its goal is None: give RAMP a goal, or"):
        Ramp(env, WORDS, settings=SMALL).run_map(10)
    env.goal = Ramp(env, WORDS, GOAL).goal  # type: ignore[attr-defined]
    assert Ramp(env, WORDS, settings=SMALL).run_map(400).best is not None


def test_numbers_may_stand_for_nothing() -> None:
    """In some states, an action number has no ground action; it is never taken there."""
    env, taken = Kettle(), []
    step = env.step

    def call(action: Any) -> Any:
        if action == 1 and not env.facts:
            raise InfeasibleAction("nothing to warm")
        return NAMES[action], "kettle"

    def watched(action: Any) -> Any:
        taken.append((int(action), bool(env.facts)))
        return step(action)

    env.call, env.step = call, watched  # type: ignore[method-assign]
    solved(env)
    assert (1, False) not in taken and (1, True) in taken
    env.call = raising_infeasible  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="no number stands for an action"):
        Ramp(env, WORDS, GOAL, SMALL).run_map(10)


def raising_infeasible(action: Any) -> Any:
    raise InfeasibleAction("nothing")


@pytest.mark.parametrize("explorer", EXPLORERS)
def test_every_explorer_solves_it(explorer: str) -> None:
    changes = {**EXPLORERS[explorer], "decimals": 6}
    assert solved(Kettle(), **changes).records[0].broken_plans == 0


@pytest.mark.parametrize("curiosity", [0.8, 0.0])
def test_informative_tries_are_planned_whatever_the_curiosity(curiosity: float) -> None:
    """Without optimism and a way to the goal, every planned step leads to an informative try."""
    env = Kettle()
    step = env.step
    env.step = lambda action: step(3 if action == 2 else action)  # type: ignore[method-assign]
    settings = RampSettings.exploring("informative", net=(8,), rollout=64, curiosity=curiosity)
    record = Ramp(env, WORDS, GOAL, settings).run_map(60)
    assert record.best is None and record.planned_steps


def test_unknown_explorers_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'informativ' is unknown \(did you mean 'informative'"):
        RampSettings.exploring("informativ")
    assert RampSettings.exploring("policy", curiosity=0.5).curiosity == 0.5
