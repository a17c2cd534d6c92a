"""RAMP: views, guesses, graphs, masks, the policy's accounts, and whole runs on small maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import gymnasium as gym
import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.generator import generate
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.envs.crafting.rules import CraftingMap
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.planners.base import evaluate
from worldplan.planners.numeric.search.search import search_plan
from worldplan.planners.numeric.symbolic_env import crafting_task, problem_of, state_of
from worldplan.planners.numeric.task.symmetry import with_representatives
from worldplan.planners.ramp.agent import Agent
from worldplan.planners.ramp.episode import EpisodeRun
from worldplan.planners.ramp.knowledge.constant_arguments import ActionSplitter
from worldplan.planners.ramp.knowledge.experience import Experience
from worldplan.planners.ramp.knowledge.exploration import nearest_untried
from worldplan.planners.ramp.knowledge.failure_rules import Condition, most_general_rules
from worldplan.planners.ramp.knowledge.optimistic_model import optimistic_model, without_variant
from worldplan.planners.ramp.knowledge.state_graph import StateGraph
from worldplan.planners.ramp.planner import RampPlanner
from worldplan.planners.ramp.policy import DemonstratedStep, PolicyLearner
from worldplan.planners.ramp.ramp import Ramp
from worldplan.planners.ramp.settings import RampSettings
from worldplan.world_models.action_model.files import load_model
from worldplan.world_models.action_model.hypothesis_classes import Declaration
from worldplan.world_models.numeric.domain import (
    Goal,
    NumericAction,
    NumericModel,
    NumericProblem,
    State,
    Vocabulary,
    is_valid,
)
from worldplan.world_models.pddl.reading import read_model

SMALL = RampSettings(net=(8,), rollout=64, epochs=2, imitation_epochs=2)


def sword(count: int, seed: int = 0, max_steps: int = 60) -> tuple[CraftingEnv, list[CraftingMap]]:
    maps = generate("wooden_sword", 5, count, np.random.default_rng(seed))
    return CraftingEnv("wooden_sword", maps=maps[0], max_steps=max_steps), maps


def ramp_on(env: CraftingEnv, settings: RampSettings = SMALL, **more: object) -> Ramp:
    return Ramp(env, *crafting_task(env), settings, **more)  # type: ignore[arg-type]


def timeless(ramp: Ramp) -> list[dict]:
    """What a run did, without how long it took."""
    return [{**one.to_dict(), "planning_seconds": 0} for one in ramp.records]


def walk(env: CraftingEnv, steps: int, seed: int, experience: Experience) -> None:
    """Random steps, all taken in."""
    generator = np.random.default_rng(seed)
    env.reset()
    for _ in range(steps):
        before, action = state_of(env), int(generator.integers(env.action_space.n))
        calls = [
            experience.views.splitter.split(env.call(one)) for one in range(env.action_space.n)
        ]
        experience.offer([experience.views.view(call, before) for call in calls])
        *_, terminated, truncated, _ = env.step(action)
        experience.add(calls[action], before, state_of(env))
        if terminated or truncated:
            env.reset()


# ---- calls with constants and views


def test_calls_with_constants_are_actions_of_their_own() -> None:
    env, _ = sword(1)
    calls = ActionSplitter(crafting_task(env)[0])
    for call, wanted in (
        (("tp_to", "cell1", "cell2"), ("tp_to", "cell1", "cell2")),
        (("tp_to", "crafting_table", "cell2"), ("tp_to-crafting_table-any", "cell2")),
        (("tp_to", "cell1", "crafting_table"), ("tp_to-any-crafting_table", "cell1")),
        (("craft_plank",), ("craft_plank",)),
    ):
        assert calls.split(call) == wanted
        assert calls.join(wanted) == call
    assert calls.vocabulary.actions["tp_to-crafting_table-any"] == (("to", "cell"),)
    again = ActionSplitter(calls.original)
    for call in calls.patterns():
        again.split(call)
    assert again.vocabulary == calls.vocabulary


def test_declarations_follow_into_calls_with_constants() -> None:
    words = Vocabulary(
        "d", {"t": "object"}, {"c": "t"}, {}, {"f": ("t",)}, {"a": (("x", "t"), ("y", "t"))}
    )
    calls = ActionSplitter(words)
    name = calls.split(("a", "c", "o"))[0]
    given_ = Declaration(
        "monotone",
        {"f ?x": -1},
        precondition_fluents=("f ?x", "f ?y"),
        effect_fluents={"f ?x": ("f ?y",)},
    )
    found = calls.declared(name, given_)
    assert (
        found.directions == {"f c": -1}
        and found.precondition_fluents == ("f c", "f ?y")
        and found.effect_fluents == {"f c": ("f ?y",)}
    )
    with pytest.raises(ConfigError, match="a-c-any"):
        ActionSplitter(replace(words, actions={**words.actions, "a-c-any": ()})).split(
            ("a", "c", "o")
        )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_equal_views_have_equal_outcomes(seed: int) -> None:
    """The premise of everything here, on the true environment and across maps."""
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
    """Random play on one map, then every mask along random play on another one against the
    environment's own.
    """
    masks_hold(seed, resources)


def test_failures_on_one_map_are_masked_on_another() -> None:
    assert masks_hold(1, False) > 5


def masks_hold(seed: int, resources: bool) -> int:
    """How many actions were masked."""
    declared = Declaration("monotone", effects="increment") if resources else Declaration()
    env, maps = sword(2, seed)
    chosen = replace(SMALL, default=declared)
    agent = Agent(env, crafting_task(env)[0], chosen, seed)
    walk(env, 150, seed, agent.experience)
    env.reset(options={"map": replace(maps[1], inventory=maps[0].inventory)})
    generator, hidden = np.random.default_rng(seed), 0
    for _ in range(40):
        state = state_of(env)
        views = [
            agent.experience.views.view(agent.experience.views.splitter.split(env.call(a)), state)
            for a in range(env.action_space.n)
        ]
        mask, truth = agent.masks.mask(state, views, len(views)), env.action_masks()
        assert mask[truth].all()
        hidden += int((~mask).sum())
        if env.step(int(generator.choice(np.flatnonzero(truth))))[2]:
            break
    return hidden


def test_resources_mask_what_is_worse_than_a_failure() -> None:
    env, _ = sword(1)
    for declared, wanted in ((Declaration(), False), (Declaration("monotone"), True)):
        experience = Experience(crafting_task(env)[0], {}, declared)
        names = [fluent[0] for fluent in experience.views.splitter.original.functions.items()]
        poor, poorer = (State(frozenset(), {(name,): value for name in names}) for value in (2, 1))
        experience.add(experience.views.splitter.split(("craft_plank",)), poor, poor)
        assert experience.known_to_fail(experience.views.view(("craft_plank",), poor))
        assert experience.known_to_fail(experience.views.view(("craft_plank",), poorer)) == wanted


def test_steps_that_the_model_predicts_change_nothing() -> None:
    """A learner that is given everything and one that is given only the news accept the same
    states.
    """
    env, _ = sword(1, 3)
    vocabulary, _ = crafting_task(env)
    sparing, greedy = (
        Experience(vocabulary, {}, Declaration()),
        Experience(vocabulary, {}, Declaration()),
    )
    for round_ in range(4):
        for one in (sparing, greedy):
            walk(env, 120, round_, one)
        sparing.model()  # from here on it can predict
    assert sum(sparing.outcomes.values()) < sum(greedy.outcomes.values())
    assert sparing.model().actions.keys() == greedy.model().actions.keys()
    for before, _ in greedy.outcomes:
        state = greedy.views.state(before)
        for name, *objects in [before.call]:
            if name in greedy.model().actions:
                first, second = (one.model().actions[name] for one in (sparing, greedy))
                assert first.applicable(tuple(objects), state) == second.applicable(
                    tuple(objects), state
                )
                if first.applicable(tuple(objects), state):
                    assert first.successor(tuple(objects), state) == second.successor(
                        tuple(objects), state
                    )


def test_a_refuted_class_gets_the_steps_back() -> None:
    """Sets are declared monotone; when a failure shows they are not, points inside the wrong set
    must not be lost.
    """
    words = Vocabulary("d", {}, {}, {}, {"x": ()}, {"a": ()})
    experience = Experience(words, {}, Declaration("monotone", effects="increment"))

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
    copy = Experience(words, {}, Declaration("monotone", effects="increment"))
    copy.load_state_dict(experience.state_dict())
    assert (
        copy.model().actions == experience.model().actions
        and copy.tries == experience.tries
        and copy.failed == experience.failed
    )


# ---- guesses


def conjunctions(
    points: Sequence[tuple[int, ...]], bad: Sequence[tuple[int, ...]], most: int
) -> set[frozenset]:
    """By brute force: all sets of at most `most` bounds that hold for `points`, exclude `bad`, and
    imply no other such set.
    """
    low, high = (
        [min(column) for column in zip(*points, strict=True)],
        [max(column) for column in zip(*points, strict=True)],
    )
    values = sorted({value for one in bad for value in one})
    options = []
    for i in range(len(low)):
        over = [(i, 1, value) for value in values if value < low[i]]
        under = [(i, -1, value) for value in values if value > high[i]]
        options.append([frozenset(one) for one in product([None, *over], [None, *under])])
    every = {frozenset().union(*chosen) - {None} for chosen in product(*options)}

    def excludes(rule: frozenset, one: tuple[int, ...]) -> bool:
        return any(sign * one[i] <= sign * value for i, sign, value in rule)

    def implies(rule: frozenset, other: frozenset) -> bool:
        return all(
            any(i == j and s == t and s * v >= t * w for i, s, v in rule) for j, t, w in other
        )

    fitting = {rule for rule in every if all(excludes(rule, one) for one in bad)}
    short = min(len(rule) for rule in fitting)
    kept = {rule for rule in fitting if len(rule) <= min(short + 1, most)}
    return {
        rule
        for rule in kept
        if not any(other != rule and implies(rule, other) for other in fitting)
    }


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_most_general_rules_are_those_of_brute_force(data: st.DataObject) -> None:
    point = st.tuples(*[st.integers(0, 4)] * 2)
    good = data.draw(st.lists(point, min_size=1, max_size=4))
    low, high = (
        [min(column) for column in zip(*good, strict=True)],
        [max(column) for column in zip(*good, strict=True)],
    )
    outside = point.filter(
        lambda one: any(not a <= x <= b for x, a, b in zip(one, low, high, strict=True))
    )
    bad = data.draw(st.lists(outside, max_size=5))
    ends = [
        Condition(None, sign, i, end)
        for i in range(2)
        for sign, end in ((1, low[i]), (-1, high[i]))
    ]
    rules, unexplained = most_general_rules(ends, [(frozenset(), one) for one in bad], 1000)
    assert not unexplained
    assert {
        frozenset((one.fluent, one.sign, one.end) for one in rule) for rule in rules
    } == conjunctions(good, bad, 4)
    assert all(one.strict for rule in rules for one in rule)


def test_failures_without_a_simple_reason_are_told() -> None:
    inside = (frozenset(), (1,))
    rules, unexplained = most_general_rules(
        [Condition(None, 1, 0, 0), Condition(None, -1, 0, 2)], [inside], 5
    )
    assert rules == [()] and unexplained == [inside]


@pytest.mark.parametrize("task", ["wooden_sword", "pogo_stick"])
def test_guesses_allow_what_succeeded_and_forbid_what_failed(task: str) -> None:
    instance = generate(task, 6, 1, np.random.default_rng(4))[0]
    env = CraftingEnv(task, maps=instance)
    experience = Experience(crafting_task(env)[0], {}, Declaration())
    walk(env, 600, 1, experience)
    guess = optimistic_model(experience)
    assert {without_variant((name,))[0] for name in guess.actions} == set(
        experience.model().actions
    )
    failed = 0
    for before, after in experience.outcomes:
        name, *objects = before.call
        variants = [one for key, one in guess.actions.items() if without_variant((key,))[0] == name]
        allowed = [
            one.applicable(tuple(objects), experience.views.state(before)) for one in variants
        ]
        if after is not None:
            assert all(allowed)
        elif variants and len(set(objects)) == len(objects):
            assert not any(allowed)
            failed += 1
    assert failed > 10


# ---- objects and graphs


@pytest.mark.parametrize("task", ["wooden_sword", "pogo_stick"])
def test_a_few_objects_of_each_kind_do(task: str, tmp_path) -> None:
    """On crafting maps shortest plans stay shortest, and plans stay valid on the whole map."""
    from worldplan.envs.crafting.pddl import domain_pddl

    path = tmp_path / "domain.pddl"
    path.write_text(domain_pddl(task, "map"))
    model = read_model(path)
    for instance in generate(task, 6, 3, np.random.default_rng(5)):
        env = CraftingEnv(task, maps=instance)
        env.reset()
        whole = problem_of(env, crafting_task(env)[1])
        part = with_representatives(model.vocabulary, whole, 4)
        assert (
            len(part.objects) < len(whole.objects) / 2 and part.initial.atoms < whole.initial.atoms
        )
        plan = search_plan(model, part, method="breadth_first").plan
        assert (
            plan is not None
            and is_valid(model, whole, plan)
            and len(plan) == len(shortest_plan(instance) or ())
        )


def test_objects_that_differ_are_kept() -> None:
    words = Vocabulary("d", {"t": "object"}, {}, {"p": ("t",), "q": ("t", "t")}, {"f": ("t",)}, {})
    objects = dict.fromkeys("abcdefg", "t")
    atoms = frozenset({("p", "c"), ("q", "d", "e")})
    values = {("f", one): 2 if one == "b" else 1 for one in objects}
    problem = NumericProblem("p", objects, State(atoms, values), Goal(frozenset({("p", "g")})))
    kept = with_representatives(words, problem, 1)
    assert set(kept.objects) == set("abcdeg"), (
        "only f is like another one, which is a; g is in the goal"
    )
    assert kept.initial == State(
        atoms, {fluent: value for fluent, value in values.items() if fluent[1] != "f"}
    )
    assert with_representatives(words, problem, 2) is problem


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=25),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=10),
)
def test_shortest_paths_over_observed_and_predicted_edges(
    observed: list[tuple[int, int]], predicted: list[tuple[int, int]]
) -> None:
    def state(i: int) -> State:
        return State(frozenset({("at", f"n{i}")}), {})

    words = Vocabulary("d", {}, {}, {"at": ("object",)}, {}, {})
    actions = {
        f"jump{a}-{b}": NumericAction(
            f"jump{a}-{b}",
            positive=frozenset({("at", f"n{a}")}),
            deletes=frozenset({("at", f"n{a}")}),
            adds=frozenset({("at", f"n{b}")}),
        )
        for a, b in predicted
        if a != b
    }
    graph, truth = StateGraph(), nx.DiGraph()
    truth.add_nodes_from([0, 7])
    graph.add(state(0), ("wait",), state(0))
    for a, b in observed:
        graph.add(state(a), (f"walk{a}-{b}",), state(b))
        truth.add_nodes_from([a, b])
        if a != b:
            truth.add_edge(a, b)
    for node in range(8):
        graph.set_calls(state(node), [(name,) for name in actions])
    truth.add_edges_from(
        (a, b) for a, b in predicted if a != b and state(a) in graph and state(b) in graph
    )
    goal = Goal(frozenset({("at", "n7")}))
    found = graph.shortest(state(0), goal, NumericModel(words, actions))
    length = nx.shortest_path_length(truth, 0, 7) if nx.has_path(truth, 0, 7) else None
    assert (None if found is None else len(found[0])) == length
    if found is not None and length is not None:
        assert len(found[1]) == length and found[1][-1] == state(7)
        assert graph.shortest(state(0), goal, NumericModel(words, actions), below=length) is None
        assert (
            graph.shortest(state(0), goal, NumericModel(words, actions), below=length + 1) == found
        )


# ---- the policy


def filled(steps: int = 40) -> tuple[PolicyLearner, CraftingEnv]:
    env, _ = sword(1)
    learner = PolicyLearner(env.observation_space, env.action_space, SMALL, 3)
    generator = np.random.default_rng(0)
    observation, _ = env.reset()
    for step in range(steps):
        mask = env.action_masks()
        chances = learner.probabilities(observation, mask)
        action = int(generator.choice(len(chances), p=chances))
        after, _, terminated, *_ = env.step(action)
        learner.record(observation, action, mask, chances[action], float(step % 3 == 0))
        observation = after
        if terminated or step % 9 == 8:
            learner.end(None if terminated or step % 2 else observation)
            observation, _ = env.reset()
    learner.end(observation)
    return learner, env


def test_probabilities_are_those_ppo_computes() -> None:
    learner, _ = filled()
    for step in learner._steps:
        assert learner.probabilities(step.observation, step.mask)[~step.mask].sum() == 0
        with torch.no_grad():
            arguments = torch.as_tensor(step.observation[None]), torch.tensor([step.action])
            _, log_probability, _ = learner.ppo.policy.evaluate_actions(
                *arguments, action_masks=step.mask[None]
            )
        assert float(log_probability) == pytest.approx(step.log_probability, abs=1e-5)


def test_advantages_are_those_of_the_definition() -> None:
    """Every piece of an episode on its own: terminated ones end in 0, broken off ones in the value
    of what follows.
    """
    learner, _ = filled()
    buffer = learner._buffer()
    steps, gamma, decay = learner._steps, SMALL.gamma, SMALL.gae_lambda
    values = [float(learner._values([step.observation])[0]) for step in steps]
    for start, step in enumerate(steps):
        advantage, weight = 0.0, 1.0
        for i in range(start, len(steps)):
            last = i + 1 == len(steps) or steps[i + 1].first
            cut = steps[i].after
            following = (
                (0.0 if cut is None else float(learner._values([cut])[0]))
                if last
                else values[i + 1]
            )
            advantage += weight * (steps[i].reward + gamma * following - values[i])
            weight *= gamma * decay
            if last:
                break
        assert buffer.advantages[start, 0] == pytest.approx(advantage, abs=1e-4), step


def test_imitation_makes_a_demonstration_likelier() -> None:
    env, _ = sword(1)
    learner = PolicyLearner(
        env.observation_space, env.action_space, replace(SMALL, imitation_epochs=200), 0
    )
    observation, _ = env.reset()
    mask = env.action_masks()
    shown = int(np.flatnonzero(mask)[-1])
    before = learner.probabilities(observation, mask)[shown]
    learner.update([DemonstratedStep(observation, shown, mask)])
    assert learner.probabilities(observation, mask)[shown] > before + 0.05
    other = PolicyLearner(
        env.observation_space, env.action_space, replace(SMALL, imitation_weight=0.0), 0
    )
    other.update([DemonstratedStep(observation, shown, mask)])
    assert other.probabilities(observation, mask)[shown] == before


def test_draws_follow_the_mixture_they_are_recorded_with() -> None:
    env, _ = sword(1)
    agent = Agent(env, crafting_task(env)[0], SMALL, 0)
    episode = EpisodeRun(agent, env, crafting_task(env)[1], StateGraph(), None)
    counts, chances = np.zeros(env.action_space.n), np.zeros(env.action_space.n)
    for _ in range(1500):
        action, chance = agent.sample(episode.observation, episode.mask, episode.views, 0.5)
        counts[action] += 1
        chances[action] = chance
    assert chances.sum() == pytest.approx(1, abs=1e-6)
    assert np.abs(counts / 1500 - chances).max() < 0.05
    curious = agent._curious_distribution(episode.mask, episode.views)
    cells = env.size**2
    assert curious[:cells].sum() == pytest.approx(1 / 5), (
        "teleports are one of five actions, however many targets there are"
    )


# ---- whole runs


def test_a_run_solves_every_map_shortest() -> None:
    env, maps = sword(4, 1)
    ramp = ramp_on(env)
    records = ramp.run([{"map": one} for one in maps], 400)
    assert [one.best for one in records] == [len(shortest_plan(one) or ()) for one in maps]
    assert all(one.broken_plans == 0 and one.settled and one.steps < 400 for one in records)
    assert all(one.first_goal is not None and one.first_goal < 15 for one in records[1:]), (
        "what one map taught serves on the next"
    )
    for record, instance in zip(records, maps, strict=True):
        env.reset(options={"map": instance})
        for call in record.best_plan:
            assert env.step(env.action_of(call))[4]["applied"]
        assert env.state.reached
    assert set(ramp.agent.demonstrations) == {0, 1, 2, 3}
    assert [len(one) for one in ramp.agent.demonstrations.values()] == [one.best for one in records]


def test_a_map_of_scarce_resources_is_solved() -> None:
    """Two trees and one log: nearly every sequence of actions wastes something, and random play
    does not get there in 6000 steps.
    """
    env = CraftingEnv(
        "pogo_stick", maps=CraftingMap("pogo_stick", 6, frozenset({7, 14}), 15, 22, (1, 0, 0, 0, 0))
    )
    record = ramp_on(env).run_map(2000)
    assert record.best == 12 and record.settled


def test_the_frontier_is_the_nearest_untried_look() -> None:
    env, _ = sword(1, 3)
    experience = Experience(crafting_task(env)[0], {}, Declaration())
    walk(env, 25, 2, experience)
    env.reset()
    problem = problem_of(env, crafting_task(env)[1])
    unknown = experience.unknown_actions()
    assert unknown
    way = nearest_untried(experience, optimistic_model(experience), problem, 10.0)
    assert way is not None and way[-1][0] in unknown
    for call in way[:-1]:
        env.step(env.action_of(experience.views.splitter.join(without_variant(call))))
    view = experience.views.view(way[-1], state_of(env))
    assert view not in experience.tries
    for call in way:
        experience.succeeded.add(experience.views.splitter.base(without_variant(call)[0]))
    experience.succeeded.update(experience.views.splitter.base(name) for name in unknown)
    assert nearest_untried(experience, optimistic_model(experience), problem, 10.0) is None, (
        "nothing is unknown any more"
    )


def test_the_same_seed_gives_the_same_run() -> None:
    env, maps = sword(2, 2)
    runs = [ramp_on(env, replace(SMALL, optimism=False), seed=seed) for seed in (5, 5, 6)]
    for ramp in runs:
        ramp.run([{"map": one} for one in maps], 90)
    first, second, third = map(timeless, runs)
    assert first == second and first != third
    weights = [
        torch.nn.utils.parameters_to_vector(ramp.agent.policy.ppo.policy.parameters())
        for ramp in runs
    ]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_saved_run_goes_on_as_if_it_had_never_stopped(tmp_path) -> None:
    env, maps = sword(3, 2)
    chosen, options = replace(SMALL, optimism=False), [{"map": one} for one in maps]
    whole = ramp_on(env, chosen)
    whole.run(options, 90)
    ramp_on(env, chosen).run(options[:2], 90, tmp_path)
    resumed = Ramp.load(tmp_path, env, *crafting_task(env))
    assert resumed.settings == chosen
    told: list[int] = []
    resumed.run(options, 90, tmp_path, lambda record: told.append(record.map))
    assert told == [2], "maps that are done are not run again"
    assert [{**one.to_dict(), "planning_seconds": 0} for one in resumed.records] == [
        {**one.to_dict(), "planning_seconds": 0} for one in whole.records
    ]
    first, second = (
        torch.nn.utils.parameters_to_vector(one.agent.policy.ppo.policy.parameters())
        for one in (whole, resumed)
    )
    assert torch.equal(first, second)
    assert (
        load_model(tmp_path / "action_model.json").actions == whole.agent.experience.model().actions
    )


def test_a_damaged_run_is_refused(tmp_path) -> None:
    env, _ = sword(1)
    (tmp_path / "ramp.pt").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=r"ramp\.pt: cannot be read"):
        Ramp.load(tmp_path, env, *crafting_task(env))


class Counting(PolicyLearner):
    """Remembers how many steps it was given."""

    def record(self, *arguments: object) -> None:
        self.given = getattr(self, "given", 0) + 1
        super().record(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("published", [False, True])
def test_planned_steps_train_the_policy_only_in_the_published_setting(published: bool) -> None:
    env, maps = sword(3, 1)
    chosen = (
        RampSettings.paper(net=(8,), rollout=64, epochs=2, time_limit=5.0, shortest_possible=2)
        if published
        else SMALL
    )
    ramp = ramp_on(env, chosen)
    ramp.agent.policy = Counting(env.observation_space, env.action_space, chosen, 0)
    records = ramp.run([{"map": one} for one in maps], 130)
    taken, planned = sum(one.steps for one in records), sum(one.planned_steps for one in records)
    assert planned > 0
    assert ramp.agent.policy.given == (taken if published else taken - planned)
    assert bool(ramp.agent.demonstrations) != published


def test_the_published_setting_waits_for_the_first_success_and_takes_turns(tmp_path) -> None:
    from worldplan.envs.crafting.pddl import domain_pddl

    path = tmp_path / "domain.pddl"
    path.write_text(domain_pddl("wooden_sword", "map"))
    env, maps = sword(3, 1)
    chosen = RampSettings.paper(net=(8,), rollout=60, epochs=2, time_limit=5.0, shortest_possible=1)
    ramp = ramp_on(env, chosen, true_model=read_model(path))
    records = ramp.run([{"map": one} for one in maps], 130)
    assert [one.steps for one in records] == [130] * 3 and not any(one.settled for one in records)
    first = next(one for one in records if one.first_goal is not None)
    assert first.first_by == "policy"
    assert (
        sum(one.planned_steps for one in records) > 0
        and sum(one.broken_plans for one in records) == 0
    )


class Lying(CraftingEnv):
    """Makes planks of two logs once it was told to, although one log had been enough."""

    dearer = False

    def step(self, action):  # type: ignore[no-untyped-def]
        if self.dearer and self.call(action)[0] == "craft_plank" and self.state.inventory[0] < 2:
            self._steps += 1
            return (
                self._dynamics.observe(self._state),
                0.0,
                False,
                self._steps >= self.max_steps,
                {"applied": False},
            )
        return super().step(action)


def test_a_safe_plan_that_breaks_is_counted_and_not_repeated() -> None:
    instance = CraftingMap("wooden_sword", 5, frozenset({6}), 12, 8, (1, 0, 0))
    env = Lying("wooden_sword", maps=instance, max_steps=60)
    ramp = ramp_on(env)
    assert ramp.run_map(400).best == 3
    env.dearer = True
    record = ramp.run_map(400)
    assert record.broken_plans == 1
    assert (
        "craft_plank" in ramp.agent.experience.model().detail["report"].excluded
        or record.best is not None
    )


def test_a_map_that_changes_between_episodes_is_refused() -> None:
    _, maps = sword(5, 7)
    env = CraftingEnv("wooden_sword", maps=maps, max_steps=30)
    with pytest.raises(ConfigError, match="another start"):
        ramp_on(env, replace(SMALL, train_when_settled=True)).run_map(300)


def test_settings_are_checked_and_survive_a_file() -> None:
    chosen = RampSettings.paper(
        default=Declaration("monotone", {"f": 1}), declarations={"a": Declaration("juntas", size=1)}
    )
    import json

    assert RampSettings.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen
    for wrong, word in (
        ({"masks": "some"}, "masks"),
        ({"rollout": 1}, "rollout"),
        ({"curiosity": 1.5}, "curiosity"),
        ({"schedule": "published"}, "optimism"),
        ({"speed": 1}, "speed"),
        ({"time_limit": 0}, "time_limit"),
    ):
        with pytest.raises(ConfigError, match=word):
            RampSettings.from_dict(wrong)
    env, _ = sword(1)
    with pytest.raises(ConfigError, match="unwrapped"):
        Ramp(gym.wrappers.TimeLimit(env, 9), *crafting_task(env))  # type: ignore[arg-type]
    model = NumericModel(crafting_task(env)[0], {})
    with pytest.raises(ConfigError, match="true_model"):
        ramp_on(env, SMALL, true_model=model)


def test_the_finished_run_is_a_planner(tmp_path) -> None:
    env, maps = sword(4, 1)
    ramp = ramp_on(env)
    ramp.run([{"map": one} for one in maps], 400, tmp_path)
    wrapped = gym.wrappers.TimeLimit(env, 60)
    env.reset(options={"map": maps[2]})
    planner = RampPlanner.load(tmp_path, env, *crafting_task(env))
    table = evaluate(planner, wrapped, 2, seed=0).episodes
    assert (
        list(table["success"]) == [1, 1]
        and list(table["length"]) == [len(shortest_plan(maps[2]) or ())] * 2
    )
    decision = planner.plan(env.reset()[0])
    assert decision.detail["source"] == "plan" and decision.action == env.action_of(
        decision.detail["plan"][0]
    )


def test_without_a_plan_the_policy_decides() -> None:
    env, _ = sword(1, 3)
    planner = RampPlanner(ramp_on(env))
    observation, _ = env.reset()
    decision = planner.plan(observation)
    assert decision.detail == {"source": "policy"} and env.action_space.contains(decision.action)
