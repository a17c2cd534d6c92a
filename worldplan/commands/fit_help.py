"""The help of `worldplan fit|validate|test`; --help-all is LightningCLI's."""

from __future__ import annotations

from worldplan.short_help import ALL, ShortHelp

_DESCRIPTIONS = {
    "fit": "Train a learned part: an ensemble, SEQUOIA, a latent model, a policy.",
    "validate": "Run the validation loop of a learned part.",
    "test": "Run the test loop of a learned part.",
}
_OPTIONS = [
    ("-h, --help", "show this help message and exit"),
    ("--config FILE", "YAML file with the settings below, such as configs/ensemble/...yaml"),
    ("--print_config", "print all settings as YAML; after --model CLASS, those of the class"),
]
_FRESH = ("--fresh", "begin anew; what the folder holds is kept as FOLDER-before-TIME")
_SETTINGS = [
    ("--model CLASS", "what is trained: a class or function of worldplan, or your own"),
    ("--model.init_args.NAME VALUE", "its arguments"),
    ("--seed_everything SEED", "the only seed of the training"),
    ("--trainer.default_root_dir FOLDER", "where it is kept; the same folder again goes on"),
    ("--trainer.accelerator NAME", "cpu unless given: cpu, cuda, mps or auto"),
    ("--trainer.NAME VALUE", "other settings of Lightning's trainer"),
    ("--ckpt_path FILE", "begin with this state"),
    ("--journal.every EPOCHS", "epochs between two checkpoints"),
]


def fit_help(command: str) -> ShortHelp:
    """The help of a command.

    Args:
        command: "fit", "validate" or "test".
    """
    return ShortHelp(
        usage=f"worldplan {command} --config FILE [options] [--SETTING VALUE ...]",
        description=f"{_DESCRIPTIONS[command]} {ALL} is the help of LightningCLI.",
        arguments=[],
        options=[*_OPTIONS, _FRESH] if command == "fit" else _OPTIONS,
        settings=_SETTINGS,
    )
