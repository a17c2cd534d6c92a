"""Command-line parsing that fails in one line."""

from __future__ import annotations

import argparse
from typing import NoReturn

from milp.errors import ConfigError


class PlainParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}: see {self.prog} --help")
