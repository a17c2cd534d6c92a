"""From settings to an instance: models, samples and posterior have the arms of the instance."""

from pathlib import Path

import numpy as np

from worldplan.milp.sets.source import Constraint
from worldplan.world_models.arms.programme import Programme, build


def test_the_posterior_is_in_the_order_of_the_instance(tmp_path: Path) -> None:
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
    constraint = Constraint("path", budget=2, connections="edges.csv", source="a")
    programme = Programme(
        log="log.csv", rewards="rewards.csv", members=2, horizon=3, constraint=constraint
    )
    built = build(programme, tmp_path)
    assert built.posterior is not None and built.models is not None
    assert built.instance.arm_names == ("b", "a", "c", "d") == built.posterior.arm_names
    np.testing.assert_array_equal(built.posterior.reward[:, 0], [30, 10, 20, 0])
    mean = built.posterior.mean()
    np.testing.assert_array_equal(mean.transition, built.instance.dynamics.transition)
    for model in (mean, *built.models):
        np.testing.assert_array_equal(model.reward, built.instance.dynamics.reward)
