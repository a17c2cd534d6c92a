"""The doctor tries things for real, never raises, and its exit code follows what is required."""

from __future__ import annotations

import subprocess
import sys

import pytest

from worldplan import doctor
from worldplan.doctor import Check, checks, run_doctor
from worldplan.milp.errors import MissingExtra, SolverUnavailable


def test_required_parts_work_here() -> None:
    found = {check.name: check for check in checks()}
    assert [check.detail for check in found.values() if check.required and not check.works] == []
    assert "solved a linear program" in found["HiGHS"].detail
    assert all(check.detail for check in found.values())
    assert all(
        check.remedy or "install" in check.detail for check in found.values() if not check.works
    )


@pytest.mark.parametrize(("required", "code"), [(True, 2), (False, 0)])
def test_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], required: bool, code: int
) -> None:
    monkeypatch.setattr(
        doctor,
        "checks",
        lambda: [Check("thing", False, required, "gone [bold]", "pip install 'worldplan[thing]'")],
    )
    assert run_doctor() == code
    printed = capsys.readouterr().out
    assert "gone [bold]" in printed
    assert "worldplan[thing]" in printed
    assert ("broken: thing" in printed) == required


@pytest.mark.parametrize(
    "error",
    [
        MissingExtra("x"),
        ImportError("libGL.so"),
        SolverUnavailable("no licence"),
        RuntimeError("a\nb"),
        OSError(),
    ],
)
def test_a_probe_that_fails_is_reported(error: Exception) -> None:
    def look() -> str:
        raise error

    check = doctor._probe("thing", True, look, "mend it")
    assert check.verdict == "broken"
    assert check.detail
    assert "\n" not in check.detail


def test_a_missing_package_is_optional_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None)
    absent = {check.name: check for check in checks() if check.detail == "not installed"}
    assert {"torch", "HiGHS", "Gurobi", "ray"} <= absent.keys()
    assert absent["HiGHS"].verdict == "broken"
    assert absent["Gurobi"].verdict == "absent"
    assert absent["ray"].remedy == "pip install 'worldplan[ray]'"


def test_gurobi_licence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gurobipy")
    check = doctor._probe("Gurobi", False, doctor._gurobi, "")
    assert "limit" in check.detail or "licence" in check.detail


def test_a_runs_folder_without_space(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert "GB free" in doctor._runs_folder()
    monkeypatch.setattr(
        doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})()
    )
    with pytest.raises(OSError, match="free at"):
        doctor._runs_folder()
    (tmp_path / "runs").write_text("")
    with pytest.raises(PermissionError):
        doctor._runs_folder()


@pytest.mark.parametrize("variable", ["disable", "cinema"])
def test_a_wrong_mujoco_gl_is_found_by_drawing_and_is_optional(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("MUJOCO_GL", variable)
    drawing = doctor._probe("GL", False, doctor._gl, "")
    assert drawing.verdict == "absent"
    assert f"MUJOCO_GL={variable}" in drawing.detail.replace("'", "")
    assert "libosmesa6" in drawing.detail
    # a process of its own: here MuJoCo is imported already
    code = "from worldplan.doctor import _mujoco; print(_mujoco())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "stepped Hopper-v5" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other systems need no library")
def test_drawing_names_how_it_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    check = doctor._probe("GL", False, doctor._gl, "")
    if not check.works:
        pytest.skip(check.detail)
    assert "MUJOCO_GL=not set, drew a picture with " in check.detail
    assert check.detail.split()[-1] in ("egl", "osmesa")
