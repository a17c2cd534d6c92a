"""Where a scenario names no policies: the built-in ones that suit its programme."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from worldplan.commands.bandits.jobs import policy_context
from worldplan.commands.bandits.scenario import Scenario
from worldplan.milp.errors import ConfigError
from worldplan.planners.bandits.policies import DEFAULT_POLICIES, check_policy
from worldplan.world_models.arms.programme import build


def suited(scenario: Scenario, base: Path) -> tuple[Scenario, list[str]]:
    """The scenario without the default policies that its programme refuses, and a sentence on each.

    A scenario that names its policies stays as it is.

    Args:
        scenario: what is to be run.
        base: its file; file names in it are looked up there.

    Raises:
        WorldplanError: as in `worldplan.world_models.arms.programme.build`.
    """
    if scenario.policies != list(DEFAULT_POLICIES):
        return scenario, []
    seed = scenario.seed_list()[0]
    built = build(scenario.programme, base, scenario.programme.seed + seed)
    context = policy_context(built, scenario, seed, None)
    kept: list[str | None] = []
    said = []
    for policy in DEFAULT_POLICIES:
        try:
            check_policy(policy, context)
        except ConfigError as error:
            said.append(f"left out of the default policies: {policy} ({error})")
        else:
            kept.append(policy)
    return replace(scenario, policies=kept), said
