"""Writes help_texts.json, the help of every command, when it is run as a program."""

from __future__ import annotations

import json
import os
from contextlib import redirect_stdout
from dataclasses import asdict
from importlib import import_module
from typing import Any

from worldplan.cli import COMMANDS
from worldplan.files import write_text
from worldplan.short_help import FILE, HelpShown


def help_texts() -> dict[str, dict[str, Any]]:
    """The help of every command, from its parser."""
    texts = {}
    for name, command in COMMANDS.items():
        module, _, function = command.entry.partition(":")
        try:
            with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
                getattr(import_module(module), function)(["--help"])
        except HelpShown as shown:
            texts[name] = asdict(shown.text)
    return texts


if __name__ == "__main__":
    write_text(FILE, json.dumps(help_texts(), indent=1) + "\n")
