"""RAMP: a reinforcement-learning policy, safe action-model learning and planning in one online loop
over a sequence of maps.

After "Integrating Reinforcement Learning, Action Model Learning, and Numeric Planning for Tackling
Complex Tasks" (arXiv 2502.13006), with these differences, each of which `RampSettings.paper()`
undoes: a plan is looked for as soon as the learned model has one, and whenever it has changed;
where no safe plan is, plans of a bold guess are tried; shortest plans come from optimal search and
from paths over observed and predicted states; planned steps are imitated and never passed off as
the policy's own; actions are masked wherever they look the same as where they failed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.planners.numeric.symbolic_env import SymbolicEnv
from worldplan.planners.ramp.agent import Agent
from worldplan.planners.ramp.map_run import MapRecord, MapRun, PublishedMapRun
from worldplan.planners.ramp.settings import RampSettings
from worldplan.world_models.action_model.files import save_model
from worldplan.world_models.numeric.domain import Goal, NumericModel, Vocabulary
from worldplan.world_models.storage import replace_file
from worldplan.world_models.training.checkpoints import save_tensors

STATE, SETTINGS, MODEL = "ramp.pt", "settings.json", "action_model.json"
FORMAT = 1


class Ramp:
    """An online run.

    Args:
        env: deterministic; unwrapped, as its symbolic view is asked for after every step.
        vocabulary: its domain without preconditions and effects.
        goal: what to reach; the environment must end the episode there.
        settings: of the run.
        seed: the same seed gives the same run on one thread, as long as no search hits its time
            limit.
        true_model: for the published schedule only, which throws away plans that are not valid in
            it.
    """

    def __init__(
        self,
        env: SymbolicEnv,
        vocabulary: Vocabulary,
        goal: Goal,
        settings: RampSettings | None = None,
        *,
        seed: int = 0,
        true_model: NumericModel | None = None,
    ) -> None:
        if not callable(getattr(env, "symbolic_state", None)):
            raise ConfigError(
                f"{type(env).__name__} has no symbolic view: give a SymbolicEnv (of a wrapped environment, its .unwrapped)"
            )
        self.env, self.vocabulary, self.goal = env, vocabulary, goal
        self.settings, self.seed, self.true_model = settings or RampSettings(), seed, true_model
        if true_model is not None and self.settings.schedule != "published":
            raise ConfigError(
                "true_model: only the published schedule looks at it; the plans of a safe model need no check"
            )
        self.agent = Agent(env, vocabulary, self.settings, seed)
        self.records: list[MapRecord] = []

    def run_map(self, steps: int, options: Mapping[str, Any] | None = None) -> MapRecord:
        """Spend up to `steps` steps on the next map.

        Args:
            steps: budget.
            options: handed to every `env.reset` on this map, which must always return to the same
                start (crafting: {"map": instance}).

        Raises:
            ConfigError: no steps, or resets that do not return to the same start.
            DatasetError: a step changed something that is not over its action's objects.
        """
        if steps < 1:
            raise ConfigError(f"steps {steps}: give a map at least one")
        arguments = (self.agent, self.env, self.goal, len(self.records), steps, options)
        published = self.settings.schedule == "published"
        run = (
            PublishedMapRun(*arguments, true_model=self.true_model)
            if published
            else MapRun(*arguments)
        )
        self.records.append(run.run())
        return self.records[-1]

    def run(
        self,
        maps: Sequence[Mapping[str, Any] | None],
        steps: int,
        folder: str | Path | None = None,
        progress: Callable[[MapRecord], object] | None = None,
    ) -> list[MapRecord]:
        """Go through maps in order, saving after each; those that this run has already done are
        skipped.

        Args:
            maps: options of `run_map`.
            steps: budget of each.
            folder: where to save, see `save`.
            progress: told of every finished and saved map.
        """
        for options in maps[len(self.records) :]:
            record = self.run_map(steps, options)
            if folder is not None:
                self.save(folder)
            if progress is not None:
                progress(record)
        return self.records

    def save(self, folder: str | Path) -> None:
        """Write everything needed to go on (ramp.pt: tensors and plain values), the settings and
        the action model (JSON).
        """
        folder = Path(folder)
        content = {
            "format": FORMAT,
            "seed": self.seed,
            "settings": _plain(self.settings.to_dict()),
            "agent": self.agent.state_dict(),
            "records": [_plain(record.to_dict()) for record in self.records],
        }
        text = json.dumps(content["settings"], indent=2) + "\n"
        replace_file(folder / SETTINGS, lambda draft: draft.write_text(text, encoding="utf-8"))
        save_model(self.agent.experience.model(), folder / MODEL)
        save_tensors(content, folder / STATE)

    @staticmethod
    def load(
        folder: str | Path,
        env: SymbolicEnv,
        vocabulary: Vocabulary,
        goal: Goal,
        *,
        true_model: NumericModel | None = None,
    ) -> Ramp:
        """What `save` wrote, ready to go on as if it had never stopped. Raises CheckpointError."""
        path = Path(folder) / STATE
        try:
            content = torch.load(path, weights_only=True)
            if content["format"] != FORMAT:
                raise CheckpointError(
                    f"{path}: has format {content['format']}, this version reads {FORMAT}: repeat the run"
                )
            ramp = Ramp(
                env,
                vocabulary,
                goal,
                RampSettings.from_dict(content["settings"]),
                seed=content["seed"],
                true_model=true_model,
            )
            ramp.agent.load_state_dict(content["agent"])
            ramp.records = [
                MapRecord(**{**one, "best_plan": [tuple(call) for call in one["best_plan"]]})
                for one in content["records"]
            ]
        except (CheckpointError, ConfigError):
            raise
        except Exception as error:  # torch raises nearly anything for a damaged file
            raise CheckpointError(
                f"{path}: cannot be read ({type(error).__name__}): delete {folder} and run again"
            ) from error
        return ramp


def _plain(value: Any) -> Any:
    """Tuples as lists, mappings as dicts."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
