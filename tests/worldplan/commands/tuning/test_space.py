"""The search space: what is read, and what is refused by name."""

import pytest

from worldplan.commands.tuning.space import Choice, Range, nested, read_space, tunable
from worldplan.commands.tuning.tuning import Tuning
from worldplan.envs.edge_of_reach import Plane
from worldplan.milp.errors import ConfigError
from worldplan.planners.offline.settings import ReachAwareSettings


def tuning(**changes):
    arguments = {
        "plane": Plane(),
        "settings": ReachAwareSettings(critics=2, diversity=0.0, real_share=0.0),
        "search": {"horizon": {"low": 1, "high": 3}},
    }
    return Tuning(**arguments | changes)


def test_names_are_dotted_or_nested_with_or_without_settings():
    space = read_space(
        {
            "pessimism": {"weight": {"low": "1e-2", "high": 10, "log": True}, "penalty": ["none"]},
            "settings.horizon": {"low": 1, "high": 9, "step": 2},
            "settings": {"target_cap": [None, 3.0]},
            "target_rate": {"low": 0.01, "high": 0.5},
        }
    )
    assert space == [
        Range("pessimism.weight", 0.01, 10.0, True, None, False),
        Choice("pessimism.penalty", ("none",)),
        Range("horizon", 1, 9, False, 2, True),
        Choice("target_cap", (None, 3.0)),
        Range("target_rate", 0.01, 0.5, False, None, False),
    ]


def test_every_setting_of_value_learning_can_be_searched():
    names = tunable()
    assert {"critics", "diversity", "pessimism.halt_above", "mobile", "layer_norm"} <= names.keys()
    assert "pessimism" not in names and "seeds" not in names


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({}, "search is empty"),
        ({"horison": [1]}, "nearest are horizon"),
        ({"weight": [1]}, "pessimism.weight"),
        ({"pessimism.wieght": [1]}, "pessimism.weight"),
        ({"pessimism": {"wieght": [1]}}, "pessimism.weight"),
        ({"seeds": [1, 2]}, "'seeds' is no setting"),
        ({"zzz": [1]}, "'zzz' is no setting"),
        ({3: [1]}, "'3' is no setting"),
        ({"horizon": {"low": 5, "high": 1}}, "low 5 is above high 1"),
        ({"actor_rate": {"low": 0, "high": 1, "log": True}}, "numbers above 0"),
        ({"actor_rate": {"low": -1, "high": 1, "log": True}}, "numbers above 0"),
        ({"horizon": {"low": 1.5, "high": 3}}, "whole numbers"),
        ({"horizon": {"low": 1}}, "lacks low or high"),
        ({"horizon": {"min": 1, "high": 3}}, "has 'min'"),
        ({"horizon": {"low": 1, "high": float("inf")}}, "finite number"),
        ({"horizon": {"low": True, "high": 3}}, "finite number"),
        ({"horizon": {"low": "one", "high": 3}}, "finite number"),
        ({"horizon": {"low": 1, "high": 5, "log": "yes"}}, "true or false"),
        ({"horizon": {"low": 1, "high": 5, "step": 0}}, "above 0"),
        ({"horizon": {"low": 1, "high": 5, "step": 2, "log": True}}, "without log"),
        ({"horizon": []}, "empty list"),
        ({"horizon": [1, 1]}, "twice"),
        ({"horizon": 3}, "belongs into settings"),
        ({"horizon": "3"}, "belongs into settings"),
        ({"horizon": None}, "belongs into settings"),
        ({"targets": {"low": 1, "high": 2}}, "takes no numbers"),
        ({"hidden": {"low": 1, "high": 2}}, "takes no numbers"),
        ({"horizon": [1], "settings.horizon": [2]}, "given twice"),
    ],
)
def test_wrong_spaces_are_refused(search, message):
    with pytest.raises(ConfigError, match=message):
        read_space(search)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"pessimism.penalty": ["none", "nothing"]}, "'nothing' does not fit"),
        ({"critics": {"low": 0, "high": 3}}, "search.critics: 0 does not fit"),
        ({"discount": {"low": 0.9, "high": 1.0}}, "search.discount: 1.0 does not fit"),
        ({"real_share": [0.0, 0.5]}, "search.real_share: 0.5 does not fit"),
        ({"true_share": [0.0, 1.0]}, "search.true_share: 1.0 does not fit"),
        ({"epochs": [10, 15]}, "search.epochs: 15 does not fit"),
        ({"data.ensemble": ["a", "b"]}, "the plane has no data"),
        ({"horizon": [1, "two"]}, "'two' does not fit"),
    ],
)
def test_values_that_no_trial_could_use_are_refused(search, message):
    with pytest.raises(ConfigError, match=message):
        tuning(search=search)


def test_values_that_fit_with_some_values_of_the_others_are_allowed():
    """diversity 0.5 does not fit the one critic of the settings, but two."""
    lone = ReachAwareSettings(critics=1, diversity=0.0, real_share=0.0)
    search = {"diversity": [0.5, 0.0], "critics": {"low": 1, "high": 2}}
    assert tuning(settings=lone, search=search).space
    with pytest.raises(ConfigError, match="diversity: 0.5 does not fit"):
        tuning(settings=lone, search={"diversity": [0.5, 0.0]})


def test_a_trial_changes_the_method_and_nothing_else():
    made = tuning(
        methods={"mopo": {"pessimism": {"penalty": "ensemble_std"}}},
        search={"pessimism.weight": [0.5, 2.0], "epochs": [10, 20], "horizon": [1, 2]},
    )
    study = made.trial_study({"pessimism.weight": 2.0, "epochs": 20, "horizon": 2})
    settings = study.method_settings("mopo")
    assert (settings.pessimism.penalty, settings.pessimism.weight) == ("ensemble_std", 2.0)
    assert settings.horizon == 2 and study.epochs == 20 and made.epochs == 100
    assert study.side_by_side == made.seeds
    assert nested({"a.b": 1, "a.c": 2, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": "luck"}, "choose environment, fqe, model"),
        ({"sampler": "grid"}, "choose tpe, random"),
        ({"pruner": "axe"}, "choose none, median, hyperband"),
        ({"trials": 0}, "at least 1"),
        ({"storage": " "}, "storage is empty"),
        ({"score": "fqe"}, "the plane has none"),
        ({"score": "model"}, "the plane has none"),
        ({"score_data": "x.npz"}, "does not use it"),
        ({"score_ensemble": "x.ckpt"}, "does not use it"),
        ({"methods": {"a": {}, "b": {}}}, "one method"),
    ],
)
def test_wrong_tunings_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        tuning(**changes)
