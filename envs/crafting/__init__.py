"""The Wooden Sword and Pogo Stick tasks of the RAMP paper (arXiv 2502.13006) as gymnasium
environments that need no Minecraft.

Start with `CraftingEnv` or `gymnasium.make("worldplan.envs.crafting:worldplan/PogoStickMap6-v0")`;
importing this package registers the ids (`registration.py`). `generate` draws solvable maps,
`shortest_plan` returns an exact shortest plan, `domain_pddl` and `problem_pddl` write PDDL.
"""

from worldplan.envs.crafting.registration import register_environments
from worldplan.extras import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

register_environments()
