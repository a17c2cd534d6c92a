"""From settings to an instance: models, samples and posterior have the arms of the instance."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from worldplan.milp.errors import ConfigError
from worldplan.milp.sets.base import Budget
from worldplan.milp.sets.source import Constraint, SetContext
from worldplan.world_models.arms.programme import Programme, build


class Backwards(Budget):
    """A set of one's own with another order of the arms."""

    @classmethod
    def from_files(cls, context: SetContext) -> Self:
        actions = cls(len(context.arms), 2)
        actions.arm_names = context.arms[::-1]
        return actions


@pytest.mark.parametrize(
    ("constraint", "order"),
    [
        (Constraint("path", budget=2, connections="edges.csv", source="a"), "dacb"),
        (Constraint("tests.world_models.arms.test_programme:Backwards"), "bcad"),
    ],
)
def test_the_posterior_is_in_the_order_of_the_instance(
    tmp_path: Path, constraint: Constraint, order: str
) -> None:
    rewards = "arm,state,reward\n" + "".join(
        f"{arm},{state},{10 * number + state}\n"
        for number, arm in enumerate("dacb")
        for state in (0, 1)
    )
    log = "arm,state,action,next_state\n" + "".join(
        f"{arm},0,1,1\n" * number for number, arm in enumerate("dacb", start=1)
    )
    edges = "one,two\nb,a\na,c\nc,d\n"
    for name, text in (("rewards", rewards), ("log", log), ("edges", edges)):
        (tmp_path / f"{name}.csv").write_text(text)
    programme = Programme(
        log="log.csv", rewards="rewards.csv", members=2, horizon=3, constraint=constraint
    )
    built = build(programme, tmp_path)
    assert built.posterior is not None and built.models is not None
    assert built.instance.arm_names == tuple(order) == built.posterior.arm_names
    rewards_of = ["dacb".index(arm) * 10 for arm in order]
    np.testing.assert_array_equal(built.posterior.reward[:, 0], rewards_of)
    mean = built.posterior.mean()
    np.testing.assert_array_equal(mean.transition, built.instance.dynamics.transition)
    for model in (mean, *built.models):
        np.testing.assert_array_equal(model.reward, built.instance.dynamics.reward)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domain": "budget", "constraint": Constraint(budget=3)},
         "programme.constraint.budget needs arms of your own .*or give programme.budget"),
        ({"domain": "path", "constraint": Constraint(connections="c.csv")},
         "programme.constraint.connections .*or give programme.connections"),
        ({"domain": "budget", "constraint": Constraint(kind="exactly")},
         "programme.constraint.kind needs arms of your own .*: leave it out"),
        ({"domain": "budget", "constraint": Constraint(rules="rules.py:build")},
         "programme.constraint.rules needs"),
        ({"domain": "budget", "start": "s.csv"}, "programme.start needs"),
        ({"domain": "budget", "own_states": "s.csv"}, "programme.own_states needs"),
        ({"domain": "budget", "members": 2}, "programme.members says how to learn from a log"),
        ({"transitions": "t.csv", "prior_strength": 3.0}, "programme.prior_strength says how"),
        ({"transitions": "t.csv", "budget": 3},
         "programme.budget is of a generated domain .*or give programme.constraint.budget"),
        ({"log": "l.csv", "arms": 3}, "programme.arms is of a generated domain .*: leave it out"),
        ({"log": "l.csv", "stations": "s.csv"}, "or give programme.constraint.stations"),
    ],
)  # fmt: skip
def test_settings_that_are_not_read_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Programme(**settings))
