"""Every public class and function takes right arguments, and refuses wrong ones in one line.

The packages' faces are walked: a public class that is added needs an entry below, in
`public_constructions.py` (its arguments are then damaged here), among the settings (found by
themselves), or in `ELSEWHERE` with the reason.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from tests.public_constructions import CONSTRUCTIONS
from tests.test_faces import FOLDERS
from worldplan.milp.errors import WorldplanError

REQUIRED = {  # arguments without which these settings cannot be made
    "Corruption": {"kind": "drop"},
    "CostConstraint": {"budget": 1.0},
    "Guardian": {"reward": -1.0},
    "CollectionSettings": {"env_id": "Hopper-v5", "policy": "random"},
    "DemonstrationSettings": {"task": "BinPick", "episodes": 2},
    "LinearSchedule": {"first": 1.0, "last": 0.0},
}
ELSEWHERE = {
    "has a test of wrong arguments of its own": {
        "ArmDynamics", "BanditInstance", "Comparison", "Goal", "Linear", "NumericAction",
        "NumericModel", "NumericProblem", "Product", "Region", "State", "Trajectory", "Vocabulary",
        "ActionModelLearner", "AdroitEnv", "IsolatedEnv", "SwingUpEnv", "ManipulationEnv",
        "Demonstrator", "CsvTable", "PddlEnv", "Registry",
        "BoundedModel", "Noise", "Precision",
    },
    "is a result, made by worldplan": {
        "Agreement", "Argmax", "ArmTables", "Beyond", "Built", "Collection", "CraftingCounts",
        "CraftingMap", "Day", "SeenArms",
        "Decision", "DemonstratedEpisode", "DemonstrationSummary", "Embedding", "EpisodeStep",
        "Estimate", "Evaluation", "Formulation", "GroundAction", "HalfSpaces", "Layer",
        "LearningReport", "MapRecord", "Matrices", "Members", "Plan", "PlanResult",
        "PlayedEpisode", "PrecisionAdvice", "Prediction", "Recipe", "Rounding", "Rows",
        "SeenPoints", "Snapshot", "Solution", "Spread", "Statistics", "Validation", "View",
        "WhittleIndices", "Reach", "ModemTask",
        "OfflineTask", "PlanStep", "StateVariables", "ClientReason", "LimitPrice", "Reasons",
        "Valuation", "Conflict", "Limit", "Section", "Today",
    },
    "is a base class, made by subclasses": {
        "ActionSet", "OnlineLearner",
        "Option", "Planner", "QNetwork", "ResumableModule", "Session", "Task",
    },
    "is a part inside a planner or learner that checks its own arguments": {
        "Access", "ActionSplitter", "AffineMap", "BinPickDemonstrator", "Clone", "ContactMeter",
        "Database", "EdgeOfReach", "Encoder", "EpisodeBatch", "Experience", "FluidTargets",
        "GroundTask",
        "Hand", "InclinePushDemonstrator", "Journal", "LEQModule", "LearnedDynamics",
        "LiftedViews", "Masks",
        "ModelFreeModule", "ModelFreePolicy", "Modem", "ModemModule", "ModemPlanner",
        "NamedPolicy", "NumericPlanner", "ObjectBody", "Outcome", "Request", "Setup",
        "PlainQNetwork", "PlanarPushDemonstrator", "PolicyContext", "Polyhedron", "Program",
        "Ramp", "RampPlanner", "ReachAwareModule", "ReachAwarePolicy", "Recorder", "Recording",
        "RelaxedPlanHeuristic", "SequoiaModule", "SequoiaPlanner", "SetContext", "StateGraph",
        "SharedModule", "SharedPlanner", "SharedQNetwork", "Slots",
        "StateQNetwork", "UprightPivotDemonstrator",
    },
}  # fmt: skip


def public_classes() -> dict[str, type]:
    found: dict[str, type] = {}
    for package in FOLDERS:
        face = importlib.import_module(package)
        for name in () if ".commands" in package else face.__all__:
            member = getattr(face, name)
            if inspect.isclass(member) and not issubclass(member, Exception):
                found[name] = member
    return found


CLASSES = public_classes()
SETTINGS = {
    name: kind
    for name, kind in CLASSES.items()
    if dataclasses.is_dataclass(kind)
    and hasattr(kind, "__post_init__")
    and "check_fields" in kind.__post_init__.__code__.co_names
}
NO_NUMBER: list[Any] = [np.nan, "x", None, 1j, object(), [1], {}]
WRONG: dict[Any, list[Any]] = {
    int: [*NO_NUMBER, np.inf, 1.5, True],
    float: [*NO_NUMBER, -np.inf, True],
    bool: ["yes", 2, None, object()],
    str: [3, None, object(), ["a"]],
    tuple: [3, "x", object(), {"a": 1}, None],
}


def test_every_public_class_is_tested_or_has_a_reason() -> None:
    listed = {*SETTINGS, *CONSTRUCTIONS, *(name for names in ELSEWHERE.values() for name in names)}
    protocols = {name for name, kind in CLASSES.items() if getattr(kind, "_is_protocol", False)}
    assert sorted(set(CLASSES) - listed - protocols) == []
    assert sorted({name for names in ELSEWHERE.values() for name in names} - set(CLASSES)) == []


def wrong_for(hint: Any) -> list[Any]:
    """What a field of this annotation must not be."""
    arguments = [part for part in get_args(hint) if part is not type(None)]
    optional = len(arguments) < len(get_args(hint))
    kind = arguments[0] if optional and len(arguments) == 1 else hint
    if get_origin(kind) is Literal:
        return ["nothing", 3]
    wrong = WRONG.get(get_origin(kind) or kind, [])
    return [value for value in wrong if not (optional and value is None)]


FIELDS = {
    name: {
        field.name: wrong_for(get_type_hints(kind)[field.name])
        for field in dataclasses.fields(kind)
        if field.init
    }
    for name, kind in SETTINGS.items()
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_refuse_another_type(name: str) -> None:
    for field, wrong in FIELDS[name].items():
        for value in wrong:
            with pytest.raises(WorldplanError) as caught:
                SETTINGS[name](**{**REQUIRED.get(name, {}), field: value})
            assert field in str(caught.value), value
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_take_lists_and_numbers_of_numpy(name: str) -> None:
    kind = SETTINGS[name]
    made = kind(**REQUIRED.get(name, {}))
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        value = getattr(made, field.name)
        if type(value) is int:
            changes[field.name] = np.int64(value)
        elif type(value) is float:
            changes[field.name] = np.float64(value)
        elif type(value) is tuple:
            changes[field.name] = list(value)
    again = kind(**{**REQUIRED.get(name, {}), **changes})
    assert again == made
    assert all(type(getattr(again, n)) is type(getattr(made, n)) for n in changes)


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_right_arguments_are_taken(name: str) -> None:
    make, arguments = CONSTRUCTIONS[name]
    make(**arguments())


def annotation(make: Any, argument: str) -> str:
    return str(inspect.signature(make).parameters[argument].annotation)


BY_NAME = {
    "int": [*WRONG[int], -1],
    "int | None": WRONG[int],
    "float": WRONG[float],
    "bool": WRONG[bool],
    "str": WRONG[str],
}


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_wrong_arguments_are_one_line(name: str) -> None:
    make, good = CONSTRUCTIONS[name]
    for argument in good():
        text = annotation(make, argument)
        for value in BY_NAME.get(text, [object(), "x", 3, None]):
            if value is None and "None" in text:
                continue
            with pytest.raises(WorldplanError) as caught:
                make(**good() | {argument: value})
            assert "\n" not in str(caught.value), (argument, value)
