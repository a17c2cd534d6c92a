"""PDDL files in temporary folders."""

import pytest

from tests.world_models.pddl.builders import DOMAIN, PROBLEM
from worldplan.world_models.pddl.reading import (
    read_vocabulary,
)


@pytest.fixture
def files(tmp_path):
    """Writes texts to files and returns their paths."""

    def write(domain=DOMAIN, problem=PROBLEM):
        (tmp_path / "domain.pddl").write_text(domain, encoding="utf-8")
        (tmp_path / "problem.pddl").write_text(problem, encoding="utf-8")
        return tmp_path / "domain.pddl", tmp_path / "problem.pddl"

    return write


@pytest.fixture(scope="module")
def tank(tmp_path_factory):
    """The vocabulary of DOMAIN."""
    path = tmp_path_factory.mktemp("tank") / "domain.pddl"
    path.write_text(DOMAIN, encoding="utf-8")
    return read_vocabulary(path)
