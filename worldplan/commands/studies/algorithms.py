"""Methods of a study beside reach-aware value learning: `iql: {algorithm: iql, expectile: 0.8}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from jsonargparse import ArgumentParser

from worldplan.arguments import instantiate, naming, parse_mapping
from worldplan.files import plain
from worldplan.milp.errors import ConfigError
from worldplan.nearest import did_you_mean
from worldplan.planners.offline.leq import LEQSettings
from worldplan.planners.offline.model_free.behaviour_cloning import BehaviourCloningSettings
from worldplan.planners.offline.model_free.iql import RIQL, IQLSettings
from worldplan.planners.offline.model_free.learner import ModelFreeSettings
from worldplan.planners.offline.model_free.td3_bc import REBRAC, TD3BCSettings
from worldplan.planners.offline.settings import ReachAwareSettings

ALGORITHMS: dict[str, ModelFreeSettings] = {
    "bc": BehaviourCloningSettings(),
    "td3_bc": TD3BCSettings(),
    "rebrac": REBRAC,
    "iql": IQLSettings(),
    "riql": RIQL,
    "leq": LEQSettings(),
}
_SHARED = (
    *("hidden", "batch", "updates", "discount"),
    *("target_rate", "actor_rate", "critic_rate"),
)


def algorithm_settings(
    method: str, changes: Mapping[str, Any], common: ReachAwareSettings
) -> ModelFreeSettings:
    """The settings of a method that names an algorithm: those published, with what `common` changes
    of sizes, rates and discount, and with what the method changes.

    Args:
        method: its name in the study.
        changes: of the method, with the key "algorithm".
        common: the settings of the study; what equals their default changes nothing here.

    Raises:
        ConfigError: there is no such algorithm, or it has no such setting.
    """
    name = changes["algorithm"]
    if not isinstance(name, str) or name not in ALGORITHMS:
        near = did_you_mean(str(name), ALGORITHMS)
        raise ConfigError(
            f"method '{method}': algorithm {name!r:.60}{near}: "
            f"choose {', '.join(ALGORITHMS)}, or leave "
            "it out for reach-aware value learning"
        )
    published, kind = plain(asdict(ALGORITHMS[name])), type(ALGORITHMS[name])
    ordinary = ReachAwareSettings()
    shared = {
        key: getattr(common, key)
        for key in _SHARED
        if key in published and getattr(common, key) != getattr(ordinary, key)
    }
    own = {key: value for key, value in changes.items() if key != "algorithm"}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    with naming(f"method '{method}'"):
        return instantiate(parser, parse_mapping(parser, published | plain(shared) | own), kind)
