"""Contact-rich manipulation tasks with a sparse reward, and scripted demonstrators of them.

`gymnasium.make("worldplan.envs.manipulation:worldplan/BinPick-v0")` makes one of the tasks
PlanarPush, InclinePush, BinPick and UprightPivot, which importing this package registers. Keyword
arguments are those of `ManipulationEnv`. `demonstrate(env, demonstrator_of("BinPick"), noise,
seed)` plays an episode with the scripted demonstrator.
"""

import gymnasium

from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

# as in the tasks themselves, whose modules import MuJoCo
for _name, _steps in (
    ("PlanarPush", 50),
    ("InclinePush", 50),
    ("BinPick", 100),
    ("UprightPivot", 120),
):
    gymnasium.register(
        id=f"worldplan/{_name}-v0",
        entry_point="worldplan.envs.manipulation.environment:ManipulationEnv",
        max_episode_steps=_steps,
        kwargs={"task": _name, "cameras": ("left", "right")},
    )
