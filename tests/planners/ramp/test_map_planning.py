"""Planning with representatives of interchangeable objects, and shortest paths."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldplan.envs.crafting.environment import CraftingEnv
from worldplan.envs.crafting.generator import generate
from worldplan.envs.crafting.oracle import shortest_plan
from worldplan.planners.numeric.search.search import search_plan
from worldplan.planners.numeric.symbolic_env import crafting_task, problem_of
from worldplan.planners.numeric.task.symmetry import with_representatives
from worldplan.planners.ramp.knowledge.state_graph import StateGraph
from worldplan.world_models.numeric.domain import (
    Goal,
    NumericAction,
    NumericModel,
    NumericProblem,
    State,
    Vocabulary,
)
from worldplan.world_models.numeric.execution import is_valid
from worldplan.world_models.pddl.reading import read_model


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
    vocabulary = Vocabulary(
        "d", {"t": "object"}, {}, {"p": ("t",), "q": ("t", "t")}, {"f": ("t",)}, {}
    )
    objects = dict.fromkeys("abcdefg", "t")
    atoms = frozenset({("p", "c"), ("q", "d", "e")})
    values = {("f", name): 2 if name == "b" else 1 for name in objects}
    problem = NumericProblem("p", objects, State(atoms, values), Goal(frozenset({("p", "g")})))
    kept = with_representatives(vocabulary, problem, 1)
    assert set(kept.objects) == set("abcdeg"), "only f is interchangeable, with a; g is in the goal"
    assert kept.initial == State(
        atoms, {fluent: value for fluent, value in values.items() if fluent[1] != "f"}
    )
    assert with_representatives(vocabulary, problem, 2) is problem


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
    model = NumericModel(Vocabulary("d", {}, {}, {"at": ("object",)}, {}, {}), actions)
    path = graph.shortest(state(0), goal, model)
    length = nx.shortest_path_length(truth, 0, 7) if nx.has_path(truth, 0, 7) else None
    assert (None if path is None else len(path[0])) == length
    if path is not None and length is not None:
        assert len(path[1]) == length and path[1][-1] == state(7)
        assert graph.shortest(state(0), goal, model, below=length) is None
        assert graph.shortest(state(0), goal, model, below=length + 1) == path
