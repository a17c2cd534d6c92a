"""The storage of a tuning's trials, which several processes may share: opened within a time limit,
and refused in one line where that fails.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalRedisBackend
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from worldplan.commands.tuning.cluster_journal import SCHEME, ClusterJournal
from worldplan.commands.tuning.tuning import Tuning
from worldplan.milp.errors import ConfigError
from worldplan.world_models.training.origin import differences
from worldplan.world_models.training.seeds import derived_seed

T = TypeVar("T")
JOURNAL = "trials.journal"  # the storage in a run folder
MADE_WITH = "made_with"  # user attribute of a study: what its scores depend on
_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "redis": 6379, "rediss": 6379}
_CONNECT = 10  # seconds until a server must accept a connection
_OPEN = 60  # seconds until a storage must be open
_DRIVERS = {"postgresql": "psycopg2-binary", "mysql": "pymysql", "redis": "redis"}


def storage_text(storage: str) -> str:
    """A storage as messages and run folders show it: without password."""
    if "://" not in storage:
        return storage
    try:
        return make_url(storage).render_as_string(hide_password=True)
    except (SQLAlchemyError, ValueError):
        return storage.partition("://")[0] + "://..."


def absolute(storage: str) -> str:
    """The storage for processes with another current folder: paths become absolute."""
    if "://" not in storage:
        return str(Path(storage).absolute())
    scheme, _, rest = storage.partition(":///")
    if scheme == "sqlite" and rest and not rest.startswith("/"):
        return f"sqlite:///{Path(rest).absolute()}"
    return storage


def mend(journal: Path) -> None:
    """Cut off a last line that a full disk or a power failure left incomplete: what is appended to
    it would be lost. Only for a journal that no other process writes to.
    """
    if not journal.exists():
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with journal.open("rb+") as file:
            file.truncate(whole)


def open_study(storage: str, tuning: Tuning, made_with: dict[str, str]) -> optuna.Study:
    """The study of a tuning in a storage, made where it is new.

    Args:
        storage: absolute path of a journal file, or a URL.
        tuning: names the study, and decides sampler and pruner.
        made_with: what the scores depend on; those of a study that is there must be the same.

    Raises:
        ConfigError: the storage cannot be reached, is none, or holds another tuning of this name.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")
    study = _in_time(lambda: _opened(storage, tuning), storage)
    stored = study.user_attrs.get(MADE_WITH)
    if stored is None:
        study.set_user_attr(MADE_WITH, made_with)
    elif different := differences(stored, made_with):
        raise ConfigError(
            f"storage {storage_text(storage)}: holds another tuning named '{tuning.name}' "
            f"({different}): choose another name or another storage"
        )
    return study


def _opened(storage: str, tuning: Tuning) -> optuna.Study:
    return optuna.create_study(
        storage=_storage(storage),
        study_name=tuning.name,
        direction="maximize",
        sampler=sampler_of(tuning, 0),
        pruner=_pruner(tuning),
        load_if_exists=True,
    )


def _storage(storage: str) -> BaseStorage:
    """The storage of a path or URL.

    Raises:
        OSError: its server or folder cannot be reached.
    """
    if "://" not in storage:
        return JournalStorage(JournalFileBackend(storage))
    if storage.startswith(SCHEME):
        return JournalStorage(ClusterJournal(storage.removeprefix(SCHEME)))
    scheme = storage.partition("://")[0].partition("+")[0]
    url = make_url(storage)
    if scheme in _PORTS:
        address = (url.host or "localhost", url.port or _PORTS[scheme])
        socket.create_connection(address, timeout=_CONNECT).close()
    if scheme in ("redis", "rediss"):
        return JournalStorage(JournalRedisBackend(storage))
    connect: dict[str, Any] = {}
    if scheme in ("postgresql", "mysql", "mariadb"):
        connect = {"connect_timeout": _CONNECT}
    elif scheme == "sqlite":
        connect = {"timeout": 30.0}  # until another process has written
    return RDBStorage(storage, engine_kwargs={"connect_args": connect})


def _in_time(work: Callable[[], T], storage: str) -> T:
    """The result of `work`, which opens `storage`.

    Raises:
        ConfigError: it fails, or takes too long: a server that accepts connections may say nothing.
    """
    results: queue.Queue[tuple[T | None, Exception | None]] = queue.Queue()

    def run() -> None:
        try:
            results.put((work(), None))
        except Exception as error:
            results.put((None, error))

    # a daemon: a thread that hangs does not keep the process
    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = results.get(timeout=_OPEN)
    except queue.Empty:
        raise ConfigError(
            f"storage {storage_text(storage)}: no answer within {_OPEN} s: is this server a "
            "database? Leave storage out to use a file in the run folder"
        ) from None
    if error is not None:
        raise ConfigError(_refusal(storage, error)) from error
    assert result is not None
    return result


def _refusal(storage: str, error: Exception) -> str:
    """What went wrong with a storage, in one line."""
    remedy = "check it, or leave storage out to use a file in the run folder"
    if Path(storage).name == JOURNAL:
        remedy = "restore a copy, or begin a new run with --fresh"
    scheme = storage.partition("://")[0].partition("+")[0]
    if isinstance(error, ImportError):
        package = _DRIVERS.get(scheme, f"the driver of {scheme}")
        return f"storage {storage_text(storage)}: its driver is missing: pip install {package}"
    text = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
    text = text or type(error).__name__
    if isinstance(error, ValueError | KeyError | AssertionError) and "://" not in storage:
        text = f"not a journal of trials ({text})"
    return f"storage {storage_text(storage)}: cannot be used ({text}): {remedy}"


@contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """Report what a storage raises in the block under `with` in one line.

    Raises:
        ConfigError: the storage failed.
    """
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
        raise ConfigError(_refusal(storage, cause)) from error


def _pruner(tuning: Tuning) -> BasePruner:
    if tuning.pruner == "median":
        return MedianPruner(
            n_startup_trials=max(3, tuning.trials // 5), n_warmup_steps=tuning.check_every
        )
    if tuning.pruner == "hyperband":
        return HyperbandPruner(min_resource=tuning.check_every, max_resource=tuning.epochs)
    return NopPruner()


def sampler_of(tuning: Tuning, number: int) -> BaseSampler:
    """The sampler of trial `number`. Its random numbers depend on the seed and the number alone, so
    that a resumed search draws what an unbroken one draws.
    """
    seed = derived_seed(tuning.seed, number) % 2**32
    if tuning.sampler == "random":
        return RandomSampler(seed=seed)
    # the first trials are random: without any, there is nothing to model
    startup = max(5, tuning.trials // 4)
    return TPESampler(seed=seed, n_startup_trials=startup, multivariate=True, constant_liar=True)
