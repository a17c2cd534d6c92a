"""Small agents and trainings that the tests of reach-aware value learning use."""

from dataclasses import replace

from worldplan.envs.edge_of_reach import Plane
from worldplan.planners.offline.edge_of_reach import EdgeOfReach
from worldplan.planners.offline.settings import ReachAwareSettings
from worldplan.planners.offline.task import plane_task
from worldplan.planners.offline.training import ReachAwareModule

SMALL = ReachAwareSettings.paper(
    critics=3,
    diversity=0.5,
    hidden=(16, 16),
    batch=32,
    horizon=4,
    starts=20,
    retain=3,
    updates=12,
    real_share=0.0,
)


def module_of(seed=0, epochs=3, check_every=2, **changes):
    return ReachAwareModule(
        plane_task(Plane(), starts=200),
        replace(SMALL, **changes),
        seed=seed,
        seeds=2,
        epochs=epochs,
        check_every=check_every,
        check_episodes=2,
        callbacks=[EdgeOfReach(Plane())],
    )
