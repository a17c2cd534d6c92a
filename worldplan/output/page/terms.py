"""The words of a report: the kinds of runs, the columns of its tables, its plots, and its terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of run.

    Args:
        name: of the kind, as a heading shows it.
        row: what a row of the summary is.
        value: what the column "mean" is of.
        share: heading of the column with the share of the bound; what it is.
        summarised: whether a finished run has a summary.
    """

    name: str
    row: str = "policy"
    value: str = "the mean over the run's episodes"
    share: tuple[str, str] = ("share of bound", "The mean as a share of the bound.")
    summarised: bool = True


BANDITS = Kind(
    "restless bandits",
    value="the mean reward per step of an episode; of discounted rewards the weighted mean",
    share=(
        "share of bound",
        "(mean - default) / (bound - default), where default is the exactly computed mean of the "
        "set's default action at every step (no visits, where that is allowed). 0 % needs no "
        "decisions. 100 % is the bound, which holds in expectation: the mean of the episodes that "
        "were played may lie above it by chance, and its interval tells by how much chance "
        "matters.",
    ),
)
STUDY = Kind(
    "study of value learning",
    value="the mean return (sum of the rewards of an episode) over seeds",
    share=("share of the oracle", "The mean as a share of the oracle's return in these episodes."),
)
TUNING = Kind(
    "tuning of settings", row="trial", value="the score of the trial; the notes say which"
)
ACTIONS = Kind(
    "learned action models, cross-validated",
    row="trajectories learned from",
    value="the share of held-out problems that were solved, over folds",
)
RAMP = Kind(
    "RAMP over problems in sequence",
    row="explorer",
    value="the share of problems whose goal was reached, over seeds",
)
MODEL = Kind("quality of a learned dynamics model", summarised=False)
TRAINING = Kind("training", summarised=False)
OTHER = Kind("run")


def kind_of(config: Mapping[str, Any]) -> Kind:
    """The kind of run that a configuration describes."""
    if config.get("report") == "model":
        return MODEL
    for keys, kind in (
        (("programme",), BANDITS),
        (("folds", "domain"), ACTIONS),
        (("explorer", "problems"), RAMP),
        (("search",), TUNING),
        (("methods",), STUDY),
        (("model", "trainer"), TRAINING),
    ):
        if all(key in config for key in keys):
            return kind
    return OTHER


COLUMNS = {  # of the summary -> heading, meaning
    "policy": ("policy", "What decided."),
    "mean": ("mean", ""),
    "interval": (
        "95 % interval",
        "A bootstrap interval of the mean: the mean of as many newly played episodes (in studies: "
        "newly trained seeds) lies in it in about 95 of 100 repetitions.",
    ),
    "cost": ("cost (interval)", "Mean sum of the costs of an episode."),
    "discounted_cost": (
        "discounted cost (interval)",
        "Mean sum of the costs of an episode, later ones discounted: what a budget limits.",
    ),
    "before": (
        "return before the change-over",
        "Mean return at the last check on stored data alone, before learning goes on by acting.",
    ),
    "drop": (
        "lowest soon after it, less that",
        "Lowest return soon after the change-over minus the return before it: negative is a drop.",
    ),
    "score": (
        "score",
        "100 (return - random) / (expert - random), with the reference returns of the task.",
    ),
    "bound_share": ("share of bound", ""),
    "q": ("mean Q", "Mean value that the critics predict at the last check."),
    "decision_ms": ("ms per decision", "Milliseconds of one decision."),
    "cpu_minutes": ("CPU minutes", "Minutes of processor time, training and evaluation."),
    "episodes": ("episodes", "Episodes (of action models: problems) behind the mean."),
    "note": ("note", "What else was observed."),
}

PLOTS = {  # beginning of a file's name -> title, how to read it, the table behind it
    "policy_comparison": (
        "Policy comparison",
        "Bars are means, thin lines their 95 % intervals. Two policies whose intervals do not "
        "overlap differ by more than chance. A dashed line is the bound or the oracle: it holds "
        "for the expected value, so a bar or an interval may reach beyond it by chance.",
        "summary.csv",
    ),
    "return_by_share": (
        "Return by share of true dynamics",
        "Left: trained in learned dynamics; right: in the true ones. Vertical lines are 95 % "
        "intervals.",
        "summary.csv",
    ),
    "learning_curve_return": (
        "Return during training",
        "The line is the mean over seeds of the return in check episodes, the band the range of "
        "all seeds. A line of the oracle is its mean return in its own episodes.",
        "curves.csv",
    ),
    "learning_curve_q": (
        "Predicted value during training",
        "The mean value that the critics predict. Values above the marked lines are impossible in "
        "the task: the critics overestimate.",
        "curves.csv",
    ),
    "learning_curve_score": (
        "Scores of the trials",
        "One point per trial in the order of their start, and the best score so far. The best of "
        "many scores is too high by chance.",
        "trials.csv",
    ),
    "learning_curve": (
        "Training",
        "What the training logged, against its step. Rewards and returns are of check episodes of "
        "the training, with random numbers of their own: they are not the episodes of the table, "
        "and single values may lie above a bound, which limits expected values only.",
        "metrics.csv",
    ),
    "training": (
        "Training",
        "What the training of the first seed logged, against the epoch.",
        "curves.csv",
    ),
    "critic_spread": (
        "Disagreement of the critics",
        "Standard deviation over the critics. Boxes: 25, 50 and 75 % of the transitions; lines: 5 "
        "and 95 %.",
        "",
    ),
    "step_rewards": (
        "Reward by step of the episode",
        "Mean reward at each step over all episodes.",
        "steps.csv",
    ),
    "rollouts": (
        "Rollouts of the model",
        "Tracks of states in the plane; the star is the goal. Orange states are at the edge of "
        "reach.",
        "",
    ),
    "episode": (
        "One episode",
        "The state of every arm at every step, darker for greater numbers. Orange frames: pulled.",
        "episode.json",
    ),
    "first_schedule": ("First schedule", "Who serves whom when, in the first step.", ""),
    "first_worker_loads": (
        "First loads",
        "What each worker carries in the first step, and the worker's capacity.",
        "",
    ),
    "first_route": ("First route", "The route of the first step.", ""),
    "settings": (
        "Score by setting",
        "One panel per setting; later trials are brighter.",
        "trials.csv",
    ),
    "importance": (
        "Importance of the settings",
        "The share of each setting in the variance of the scores.",
        "importance.csv",
    ),
    "penalties": (
        "Penalties and true errors",
        "A useful penalty grows with the true error of the model.",
        "",
    ),
    "step_errors": (
        "Error by number of steps",
        "Above the dotted line, the model predicts a column worse than its mean change.",
        "model_steps.csv",
    ),
    "reliability": (
        "Calibration",
        "A calibrated model lies on the dotted line: 80 % of the truths in the 80 % intervals.",
        "model_calibration.csv",
    ),
    "pit_histograms": (
        "Calibration by column",
        "Where the truths lie in the predicted distributions: flat is calibrated.",
        "model_recalibration.csv",
    ),
}

ACTIONS_CURVE = (  # of a cross-validation of action models, in the place of "learning_curve"
    "Results by number of trajectories",
    "Lines are means over folds, bands their 95 % intervals.",
    "results.csv",
)

RAMP_CURVE = (  # in the place of "learning_curve"
    "Results by problem",
    "Lines are means over seeds, bands their 95 % intervals; the problems stand in the order in "
    "which they were given. Where the goal was not reached, its steps are all that were allowed.",
    "metrics.csv",
)

GLOSSARY = {  # the sentences of docs/glossary.md, which a test compares
    "arm": "One chain of a restless bandit: a client, a patient, a machine.",
    "bound": "A number that no policy can exceed in expectation, in the model.",
    "calibration": "Whether 80 % of the truths lie in the predicted 80 % intervals.",
    "critic": "A network that predicts the value of an action in a state.",
    "edge of reach": "States that rollouts of k steps reach only with their last step. They appear "
    "in targets, and their own values are never trained.",
    "ensemble": "Several networks with one task; their disagreement measures what the data do not "
    "say.",
    "horizon": "Steps of an episode, of a rollout, or of a plan.",
    "precondition": "When an action is applicable.",
    "pull": "To serve an arm in this step.",
    "rollout": "A trajectory of a policy in a model.",
    "safe action model": "A model in which every plan is valid in the true model and reaches the "
    "same states.",
    "seed": "The number from which all random numbers of a run follow.",
    "Whittle index": "The subsidy for leaving an arm alone at which pulling stops being worth it.",
}
TERMS = {
    BANDITS: ("arm", "bound", "horizon", "pull", "seed", "Whittle index"),
    STUDY: ("critic", "edge of reach", "ensemble", "horizon", "rollout", "seed"),
    TUNING: ("critic", "ensemble", "horizon", "rollout", "seed"),
    ACTIONS: ("precondition", "safe action model", "seed"),
    RAMP: ("precondition", "safe action model", "seed"),
    MODEL: ("calibration", "ensemble", "horizon", "rollout", "seed"),
    TRAINING: ("critic", "ensemble", "horizon", "rollout", "seed"),
    OTHER: ("seed",),
}
