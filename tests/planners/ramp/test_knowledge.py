"""Split actions, views, masks and the experience of RAMP."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planners.ramp.builders import SMALL, sword, walk
from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.generator import generate
from worldplan.milp.errors import ConfigError
from worldplan.planners.numeric.symbolic_env import crafting_task, state_of
from worldplan.planners.ramp.agent import Agent
from worldplan.planners.ramp.knowledge.constant_arguments import ActionSplitter
from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.numeric.domain import (
    State,
    Vocabulary,
)


def test_calls_with_constants_are_actions_of_their_own() -> None:
    env, _ = sword(1)
    splitter = ActionSplitter(crafting_task(env)[0])
    for call, split_call in (
        (("tp_to", "cell1", "cell2"), ("tp_to", "cell1", "cell2")),
        (("tp_to", "crafting_table", "cell2"), ("tp_to-crafting_table-any", "cell2")),
        (("tp_to", "cell1", "crafting_table"), ("tp_to-any-crafting_table", "cell1")),
        (("craft_plank",), ("craft_plank",)),
    ):
        assert splitter.split(call) == split_call
        assert splitter.join(split_call) == call
    assert splitter.vocabulary.actions["tp_to-crafting_table-any"] == (("to", "cell"),)
    restored = ActionSplitter(splitter.original)
    for call in splitter.patterns():
        restored.split(call)
    assert restored.vocabulary == splitter.vocabulary


def test_declarations_follow_into_calls_with_constants() -> None:
    vocabulary = Vocabulary(
        "d", {"t": "object"}, {"c": "t"}, {}, {"f": ("t",)}, {"a": (("x", "t"), ("y", "t"))}
    )
    splitter = ActionSplitter(vocabulary)
    name = splitter.split(("a", "c", "o"))[0]
    declaration = Declaration(
        "monotone",
        {"f ?x": -1},
        precondition_fluents=("f ?x", "f ?y"),
        effect_fluents={"f ?x": ("f ?y",)},
    )
    substituted = splitter.declared(name, declaration)
    assert substituted.directions == {"f c": -1}
    assert substituted.precondition_fluents == ("f c", "f ?y")
    assert substituted.effect_fluents == {"f c": ("f ?y",)}
    clash = replace(vocabulary, actions={**vocabulary.actions, "a-c-any": ()})
    with pytest.raises(ConfigError, match="a-c-any"):
        ActionSplitter(clash).split(("a", "c", "o"))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_equal_views_have_equal_outcomes(seed: int) -> None:
    """The assumption behind views, on the true environment and across maps."""
    experience = None
    outcomes: dict = {}
    for number in range(3):
        instance = generate("wooden_sword", 5, 1, np.random.default_rng([seed, number]))[0]
        env = CraftingEnv("wooden_sword", maps=instance)
        experience = experience or Experience(crafting_task(env)[0], {}, Declaration())
        env.reset()
        generator = np.random.default_rng([seed, number, 1])
        for _ in range(40):
            before = state_of(env)
            mask = env.action_masks()
            for action in range(env.action_space.n):
                view = experience.views.view(
                    experience.views.splitter.split(env.call(action)), before
                )
                assert outcomes.setdefault(view, mask[action]) == mask[action]
            if env.step(int(generator.choice(np.flatnonzero(mask))))[2]:
                break


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_masks_never_hide_an_applicable_action(seed: int, resources: bool) -> None:
    """After a random walk on one map, compare the masks along a random walk on another map with the
    environment's own.
    """
    masked_on_another_map(seed, resources)


def test_failures_on_one_map_are_masked_on_another() -> None:
    assert masked_on_another_map(1, False) > 5


def masked_on_another_map(seed: int, resources: bool) -> int:
    """Number of masked actions on the second map. Asserts that none of them is applicable."""
    declared = Declaration("monotone", effects="increment") if resources else Declaration()
    env, maps = sword(2, seed)
    chosen = replace(SMALL, default=declared)
    agent = Agent(env, crafting_task(env)[0], chosen, seed)
    walk(env, 150, seed, agent.experience)
    env.reset(options={"map": replace(maps[1], inventory=maps[0].inventory)})
    generator, masked = np.random.default_rng(seed), 0
    for _ in range(40):
        state = state_of(env)
        views = [
            agent.experience.views.view(agent.experience.views.splitter.split(env.call(a)), state)
            for a in range(env.action_space.n)
        ]
        mask, truth = agent.masks.mask(state, views, len(views)), env.action_masks()
        assert mask[truth].all()
        masked += int((~mask).sum())
        if env.step(int(generator.choice(np.flatnonzero(truth))))[2]:
            break
    return masked


def test_resources_mask_what_is_worse_than_a_failure() -> None:
    env, _ = sword(1)
    for declared, masked in ((Declaration(), False), (Declaration("monotone"), True)):
        experience = Experience(crafting_task(env)[0], {}, declared)
        names = [fluent[0] for fluent in experience.views.splitter.original.functions.items()]
        poor, poorer = (State(frozenset(), {(name,): value for name in names}) for value in (2, 1))
        experience.add(experience.views.splitter.split(("craft_plank",)), poor, poor)
        assert experience.known_to_fail(experience.views.view(("craft_plank",), poor))
        assert experience.known_to_fail(experience.views.view(("craft_plank",), poorer)) == masked


def test_steps_that_the_model_predicts_change_nothing() -> None:
    """A learner with all transitions and a learner without the predicted ones give equal models."""
    env, _ = sword(1, 3)
    vocabulary, _ = crafting_task(env)
    sparing, greedy = (Experience(vocabulary, {}, Declaration()) for _ in range(2))
    for round_ in range(4):
        for experience in (sparing, greedy):
            walk(env, 120, round_, experience)
        sparing.model()  # without this call there is no model that predicts
    assert sum(sparing.outcomes.values()) < sum(greedy.outcomes.values())
    assert sparing.model().actions.keys() == greedy.model().actions.keys()
    for before, _ in greedy.outcomes:
        state = greedy.views.state(before)
        for name, *objects in [before.call]:
            if name in greedy.model().actions:
                first, second = (each.model().actions[name] for each in (sparing, greedy))
                assert first.applicable(tuple(objects), state) == second.applicable(
                    tuple(objects), state
                )
                if first.applicable(tuple(objects), state):
                    assert first.successor(tuple(objects), state) == second.successor(
                        tuple(objects), state
                    )


def test_a_refuted_class_gets_the_steps_back() -> None:
    """Preconditions are declared monotone. When a failure refutes that, the learner must get the
    transitions that the wrong model predicted.
    """
    vocabulary = Vocabulary("d", {}, {}, {}, {"x": ()}, {"a": ()})
    experience = Experience(vocabulary, {}, Declaration("monotone", effects="increment"))

    def at(value: int) -> State:
        return State(frozenset(), {("x",): value})

    experience.views.splitter.split(("a",))
    experience.add(("a",), at(3), at(4))
    experience.model()
    experience.add(("a",), at(7), at(8))  # predicted
    assert list(experience.outcomes.values()) == [True, False]
    experience.add(("a",), at(9), at(9))
    action = experience.model().actions["a"]
    assert (
        action.applicable((), at(7))
        and action.applicable((), at(5))
        and not action.applicable((), at(9))
    )
    copy = Experience(vocabulary, {}, Declaration("monotone", effects="increment"))
    copy.load_state_dict(experience.state_dict())
    assert (
        copy.model().actions == experience.model().actions
        and copy.tries == experience.tries
        and copy.failed == experience.failed
    )
