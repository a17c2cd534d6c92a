"""Run folders in use: continue an unfinished run or make a new one, in one process at a time."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from worldplan.files import config_text, write_json, write_text
from worldplan.milp.errors import ConfigError, FolderInUse
from worldplan.runs import CONFIG, SEED, VERSIONS, Run, list_runs
from worldplan.versions import versions
from worldplan.world_models.folders import LOCK, exclusive

_FOLDERS = ("jobs", "plots", "checkpoints")
_DRAFT = re.compile(r"\.[0-9a-f]{12}")  # a run folder that is being made
_LONGEST_CREATION = 60.0  # seconds; finding or making a run folder takes a fraction of one


@contextmanager
def open_run(
    root: str | Path,
    name: str,
    config: Mapping[str, Any],
    seed: int,
    *,
    fresh: bool = False,
) -> Iterator[Run]:
    """Hold a run folder while the block under `with` runs: the unfinished run of this configuration
    and seed, which is announced on stderr, else a new one.

    No other process can open the same run meanwhile. The hold ends with the process, however that
    ends.

    Args:
        root: folder of all runs.
        name: of the run; the folder is `root`/`name`/<time>.
        config: everything that the results depend on.
        seed: of the run.
        fresh: make a new run even if there is an unfinished one.

    Raises:
        ConfigError: the name is no folder name, or the folder cannot be made.
        FolderInUse: another process works on the unfinished run.
        KeyboardInterrupt: Ctrl-C; its text says how to continue.
    """
    with ExitStack() as stack:
        run = _open(stack, _parent(root, name), config, seed, fresh)
        try:
            yield run
        except KeyboardInterrupt as stop:
            again = "without --fresh" if fresh else "again"
            raise KeyboardInterrupt(
                f"interrupted: finished jobs are kept in {run.path}: "
                f"give the same command {again} to continue"
            ) from stop


def create_run(root: str | Path, name: str, config: Mapping[str, Any], seed: int) -> Run:
    """Make `root`/`name`/<time>/ with configuration, versions and seed, complete or not at all.

    Raises:
        ConfigError: the name is no folder name, or the folder cannot be made.
    """
    parent = _parent(root, name)
    config_text(config)  # raises for a setting that cannot be stored, before anything is written
    with _only_here(parent):
        return _create(parent, config, seed, versions())


def _parent(root: str | Path, name: str) -> Path:
    """The folder of all runs of a name.

    Raises:
        ConfigError: the name is no folder name.
    """
    if not name or name.startswith(".") or "/" in name or os.sep in name:
        raise ConfigError(
            f"'{name}' cannot name a run: use a plain word without slashes, not starting with a dot"
        )
    return Path(root) / name


@contextmanager
def _only_here(parent: Path) -> Iterator[None]:
    """Find or make a run folder in `parent` in no other process meanwhile. Folders that a killed
    process was making are deleted.

    Raises:
        ConfigError: nothing can be made in `parent`.
        FolderInUse: another process does not get done.
    """
    with _writable(parent):
        parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(parent / LOCK)
        try:
            lock.acquire(timeout=_LONGEST_CREATION)
        except Timeout:
            raise FolderInUse(
                f"{parent}: another process has been making a run folder for a minute: repeat the "
                "command, or choose another place with --runs"
            ) from None
    try:
        for folder in parent.iterdir():
            if _DRAFT.fullmatch(folder.name) and folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)
        yield
    finally:
        lock.release()


@contextmanager
def _writable(parent: Path) -> Iterator[None]:
    """Report that the block under `with` can write nothing in `parent`.

    Raises:
        ConfigError: it cannot.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{parent}: cannot make a run folder here ({error.strerror}): "
            "choose another place for runs"
        ) from error


def _open(stack: ExitStack, parent: Path, config: Mapping[str, Any], seed: int, fresh: bool) -> Run:
    """The run to work on, held until `stack` closes.

    Raises:
        ConfigError: the folder cannot be made.
        FolderInUse: other processes work on all unfinished runs.
    """
    config_text(config)  # raises for a setting that cannot be stored, before anything is written
    now = versions()
    with _only_here(parent):
        in_use: FolderInUse | None = None
        for run in () if fresh else _unfinished(parent, config, seed):
            with ExitStack() as attempt:
                try:
                    attempt.enter_context(exclusive(run.path, 0.0, "begin another with --fresh"))
                except FolderInUse as error:
                    in_use = error
                    continue
                if not run.finished:  # by the process that held it until now
                    _announce(run, now)
                    for folder in _FOLDERS:
                        (run.path / folder).mkdir(exist_ok=True)
                    stack.push(attempt.pop_all())
                    return run
        if in_use is not None:
            raise in_use
        run = _create(parent, config, seed, now)
        stack.enter_context(exclusive(run.path))
        return run


def _unfinished(parent: Path, config: Mapping[str, Any], seed: int) -> Iterator[Run]:
    """The unfinished runs of this configuration and seed. A folder whose configuration cannot be
    read is passed over, which is said on stderr.
    """
    for run in reversed(list_runs(parent.parent, parent.name)):
        try:
            if not run.finished and run.matches(config) and run.seed == seed:
                yield run
        except ConfigError as error:
            print(f"passing over {run.path}: {error}", file=sys.stderr)  # noqa: T201


def _announce(run: Run, now: Mapping[str, str]) -> None:
    """Say on stderr that a run is continued. Versions that changed since are named, and recorded in
    the run folder beside the earlier ones.
    """
    print(f"continuing {run.path}", file=sys.stderr)  # noqa: T201
    try:
        before = run.versions
    except ConfigError:
        before = {}
    latest = {name: text.rpartition(", then ")[2] for name, text in before.items()}
    changed = [
        name
        for name in dict.fromkeys([*before, *now])
        if latest.get(name, "none") != now.get(name, "none")
    ]
    if changed:
        both = {
            name: f"{before.get(name, 'none')}, then {now.get(name, 'none')}" for name in changed
        }
        texts = "; ".join(f"{name} {text}" for name, text in both.items())
        print(  # noqa: T201
            f"the run was begun with other versions: {texts}: --fresh begins a new one",
            file=sys.stderr,
        )
        run.write_json(VERSIONS, {**before, **both})


def _create(parent: Path, config: Mapping[str, Any], seed: int, made_with: dict[str, str]) -> Run:
    """A new run folder in `parent`, complete or not at all.

    Raises:
        ConfigError: the folder cannot be made.
    """
    text = config_text(config)
    draft = parent / f".{secrets.token_hex(6)}"
    with _writable(parent):
        draft.mkdir()
    try:
        for folder in _FOLDERS:
            (draft / folder).mkdir()
        write_text(draft / CONFIG, text)
        write_json(draft / VERSIONS, made_with)
        write_text(draft / SEED, f"{int(seed)}\n")
        return Run(_publish(draft, parent, f"{datetime.now():%Y%m%d-%H%M%S}"))
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _publish(draft: Path, parent: Path, stamp: str) -> Path:
    """Rename the draft to the first free name, and return it.

    Renaming onto a folder with content fails, so two runs never share a folder.

    Raises:
        ConfigError: thousands of runs began in this second.
        OSError: the folder cannot be renamed.
    """
    for number in range(1, 10_000):
        target = parent / (stamp if number == 1 else f"{stamp}-{number:04d}")
        try:
            draft.rename(target)
        except OSError:
            if not target.exists():
                raise
        else:
            return target
    raise ConfigError(f"{parent}: 9999 runs began in this very second: give them different names")
