"""RAMP: a reinforcement-learning policy, safe action-model learning and numeric planning in one
online loop over a sequence of maps.

After "Integrating Reinforcement Learning, Action Model Learning, and Numeric Planning for Tackling
Complex Tasks" (arXiv 2502.13006), with these differences, which `RampSettings.paper()` undoes:

* It searches for a plan before the goal was ever reached, and again whenever the model changed.
* Where there is no safe plan, it tries plans of an optimistic model.
* Shortest plans come from optimal search, and from paths over observed and predicted states.
* Planned steps are imitated. They do not count as samples of the policy.
* An action is masked wherever its view equals one in which it failed, not only in the same state.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from worldplan.milp import checks
from worldplan.milp.errors import CheckpointError, ConfigError
from worldplan.planners.numeric.checked_symbolic import CheckedSymbolicEnv
from worldplan.planners.numeric.symbolic_env import SymbolicEnv, goal_of
from worldplan.planners.ramp.agent import Agent
from worldplan.planners.ramp.map_run import MapRecord, MapRun, PublishedMapRun
from worldplan.planners.ramp.settings import RampSettings
from worldplan.world_models.action_model.files import save_model
from worldplan.world_models.numeric.domain import Goal, NumericModel, Vocabulary
from worldplan.world_models.storage import replace_file
from worldplan.world_models.training.checkpoints import load_tensors, save_tensors

STATE, SETTINGS, MODEL = "ramp.pt", "settings.json", "action_model.json"
FORMAT = 1


class Ramp:
    """An online run.

    Args:
        env: deterministic environment with a symbolic view, unwrapped.
        vocabulary: its domain without preconditions and effects.
        goal: to be reached; the environment must terminate there. A text such as "water c2 >= 3"
            will do. None: the environment's own `goal`, which may change with every reset.
        settings: by default `RampSettings()`.
        seed: of all random numbers. The same seed gives the same run on one thread, unless a search
            reaches its time limit.
        true_model: for the published schedule only, which drops plans that are not valid in it.

    Attributes:
        agent: what was learned.
        records: of the finished maps.

    Raises:
        ConfigError: `env` has no symbolic view, or a space of another kind, or `true_model` is
            given for another schedule.
        DatasetError: a text is no goal, or uses a name that is not declared.
    """

    def __init__(
        self,
        env: SymbolicEnv,
        vocabulary: Vocabulary,
        goal: Goal | str | None = None,
        settings: RampSettings | None = None,
        *,
        seed: int = 0,
        true_model: NumericModel | None = None,
    ) -> None:
        checks.of_type(vocabulary, "vocabulary", Vocabulary)
        self.env, self.vocabulary = env, vocabulary
        self.goal = None if goal is None else goal_of(goal, vocabulary, env)
        self.settings, self.seed, self.true_model = settings or RampSettings(), seed, true_model
        if true_model is not None and self.settings.schedule != "published":
            raise ConfigError(
                "true_model: only the published schedule uses it; "
                "the plans of a safe model need no check"
            )
        self._checked = CheckedSymbolicEnv(env, vocabulary, self.settings.decimals)
        self.agent = Agent(self.checked, vocabulary, self.settings, seed)
        self.records: list[MapRecord] = []

    @property
    def checked(self) -> CheckedSymbolicEnv:
        """The environment, whose every return value is checked."""
        if self._checked.env is not self.env:
            self._checked = CheckedSymbolicEnv(self.env, self.vocabulary, self.settings.decimals)
        return self._checked

    def run_map(self, steps: int, options: Mapping[str, Any] | None = None) -> MapRecord:
        """Run on the next map.

        Args:
            steps: largest number of steps.
            options: of every `env.reset` on this map, which must always return to the same start
                state (crafting: {"map": instance}).

        Raises:
            ConfigError: `steps` is below 1, a reset returned to another start state or to the goal,
                the environment goes on after the goal, or it returns something wrong.
            DatasetError: a step changed something that is not over its action's objects.
            Diverged: the policy's weights are not finite.
        """
        if steps < 1:
            raise ConfigError(f"steps {steps}: give a map at least one")
        arguments = (self.agent, self.checked, self.goal, len(self.records), steps, options)
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
        """Run on maps in order. Maps that this run has already finished are skipped.

        Args:
            maps: the `options` of `run_map`, one per map.
            steps: largest number of steps per map.
            folder: the run is saved here after each map, see `save`; None: not saved.
            progress: called with the record of each map, after saving.

        Returns:
            The records of all finished maps.

        Raises:
            ConfigError: as `run_map`.
            DatasetError: as `run_map`.
            Diverged: as `run_map`.
        """
        for options in maps[len(self.records) :]:
            record = self.run_map(steps, options)
            if folder is not None:
                self.save(folder)
            if progress is not None:
                progress(record)
        return self.records

    def save(self, folder: str | Path) -> None:
        """Write the state for `load` (ramp.pt), the settings (settings.json) and the safe action
        model (action_model.json) into a folder.
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
        replace_file(folder / SETTINGS, lambda path: path.write_text(text, encoding="utf-8"))
        save_model(self.agent.experience.model(), folder / MODEL)
        save_tensors(content, folder / STATE)

    @staticmethod
    def load(
        folder: str | Path,
        env: SymbolicEnv,
        vocabulary: Vocabulary,
        goal: Goal | str | None = None,
        *,
        true_model: NumericModel | None = None,
    ) -> Ramp:
        """A saved run. It resumes to the same result as a run that was not interrupted.

        Args:
            folder: written by `save`.
            env: as in the class.
            vocabulary: as in the class.
            goal: as in the class.
            true_model: as in the class.

        Raises:
            CheckpointError: the file is missing, damaged, of another version or for another
                environment.
            ConfigError: `env` has no symbolic view, or `true_model` is given for another schedule.
        """
        path = Path(folder) / STATE
        try:
            content = load_tensors(path)
            if content["format"] != FORMAT:
                raise CheckpointError(
                    f"{path}: has format {content['format']}, "
                    f"this version reads {FORMAT}: repeat the run"
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
                MapRecord(**{**record, "best_plan": [tuple(call) for call in record["best_plan"]]})
                for record in content["records"]
            ]
        except (CheckpointError, ConfigError):
            raise
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{path}: no such file: give the folder of a saved run of RAMP"
            ) from error
        except OSError as error:
            raise CheckpointError(
                f"{path}: cannot be read ({error.strerror or error}): check path and permissions"
            ) from error
        except Exception as error:  # torch raises errors of many types for damaged files
            raise CheckpointError(
                f"{path}: cannot be read ({type(error).__name__}): delete {folder} and run again"
            ) from error
        return ramp


def _plain(value: Any) -> Any:
    """The value with tuples as lists and mappings as dicts."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
