"""Slips in names of trainers, classes, environments, datasets and runs, wrong kinds of files and
wrong types: exit code 2, one line, the nearest name or the command for the file.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.worldplan.commands.overview.builders import make_run, policy
from tests.worldplan.refusals import refused
from worldplan.shipped import PACKAGE

FIT = "fit --config configs/sequoia/capacity.yaml"
STUDY = "configs/ravl/edge_of_reach.yaml"
OWN = "worldplan.envs.manipulation:worldplan"
TRAINER = {
    "callback": {"callbacks": [{"class_path": "lightning.pytorch.callbacks.EarlyStoping"}]},
    "module": {"callbacks": [{"class_path": "lightning.pytorch.calbacks.EarlyStopping"}]},
    "package": {"callbacks": [{"class_path": "lightnin.pytorch.callbacks.EarlyStopping"}]},
    "logger": {"logger": {"class_path": "TensorBordLogger"}},
    "accelerator": {"accelerator": "gpuu"},
}
SLIPS = [
    # settings of the trainer
    (f"run {STUDY} --accelerator gpuu", "'gpu'"),
    (f"run {STUDY} --accelerator CPU", "'cpu'"),
    (f"{FIT} --trainer.accelerator gpuu", "'gpu'"),
    (f"{FIT} --trainer.strategy ddpp", "'ddp'"),
    (f"{FIT} --trainer.profiler simpel", "'simple'"),
    (f"{FIT} --trainer.logger ture", "'true'"),
    (f"{FIT} --trainer.logger TensorBordLogger", "'TensorBoardLogger'"),
    (f"{FIT} --trainer.callbacks EarlyStoping", "'EarlyStopping'"),
    (f"{FIT} --trainer.callbacks+ LearningRateMonitr", "'LearningRateMonitor'"),
    (f"{FIT} --trainer.callbacks.class_path EarlyStoping", "'EarlyStopping'"),
    (f"{FIT} --optimizer Adamm", "'Adam'"),
    (f"{FIT} --optimizer torch.optim.Adamm", "'torch.optim.Adam'"),
    (f"{FIT} --optimizer torch.optm.Adam", "'torch.optim'"),
    (f"{FIT} --lr_scheduler StepLRR", "'StepLR'"),
    ("fit --config callback.yaml", "'lightning.pytorch.callbacks.EarlyStopping'"),
    ("fit --config module.yaml", "'lightning.pytorch.callbacks'"),
    ("fit --config package.yaml", "'lightning'"),
    ("fit --config logger.yaml", "'TensorBoardLogger'"),
    ("fit --config accelerator.yaml", "'gpu'"),
    (f"{FIT} --ckpt_path lst.ckpt", "'last.ckpt'"),
    # environments and datasets
    ("data collect Pendulm-v1 --policy random", "'Pendulum-v1'"),
    ("data collect pendulum-v1 --policy random", "'Pendulum-v1'"),
    ("data collect Pendulum-v2 --policy random", "'Pendulum-v1'"),
    ("data collect HalfCheeta-v5 --policy random", "'HalfCheetah-v5'"),
    ("data collect MetaWrld/push-v3 --policy random", "'MetaWorld/push-v3'"),
    ("data collect worldplan/PlanarPsh-v0 --policy random", f"'{OWN}/PlanarPush-v0'"),
    (f"data collect {OWN}/PlanarPsh-v0 --policy random", f"'{OWN}/PlanarPush-v0'"),
    (
        "data collect worldplan.envs.manipulatoin:worldplan/BinPick-v0 --policy random",
        f"'{OWN}/BinPick-v0'",
    ),
    ("data collect own_slider:NearestSlidr-v0 --policy random", "'own_slider:NearestSlider-v0'"),
    ("data describe owm.npz", "'own.npz'"),
    ("data describe own.np", "'own.npz'"),
    ("data describe worldplan/hoper-own-v0", "'worldplan/hopper-own-v0'"),
    # run folders
    ("evaluate runs/clinik/a", "'runs/clinic/a'"),
    ("report runs/clinic/aa", "'runs/clinic/a'"),
    ("compare runs/clinic/a runs/clinc/a", "'runs/clinic/a'"),
    ("evaluate runs", "'runs/clinic/a'"),
    ("report runs/clinic", "'runs/clinic/a'"),
    ("runs rnus", "'runs'"),
]
KINDS = [
    (f"evaluate {STUDY}", f"worldplan run {PACKAGE / STUDY}"),
    ("report configs/bandits/clinic.yaml", "worldplan bandits run"),
    ("data describe configs/sequoia/capacity.yaml", "worldplan fit --config"),
    ("actions solve configs/bandits/clinic.yaml p.pddl", "worldplan bandits run"),
    ("actions learn configs/ravl/tune_plane.yaml -o m.json --domain d.pddl", "worldplan tune"),
    ("bandits run d.pddl", "worldplan actions solve"),
    ("run last.ckpt", "worldplan evaluate"),
    # types
    ("evaluate runs/clinic/a --episodes many", "Got value: many: give a whole number"),
    ("bandits serve configs/bandits/clinic.yaml --port abc", "Got value: abc: give a whole number"),
    (f"{FIT} --seed_everything abc", "give true or false or a whole number"),
    (f"{FIT} --trainer.precision 33", "trainer.precision is 33: give 64 or 32 or 16"),
    ("fit --model torch.nn.Linear", "model is torch.nn.Linear: is no LightningModule"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the slips are near to."""
    place = tmp_path_factory.mktemp("nearest")
    training = yaml.safe_load((PACKAGE / "configs" / "sequoia" / "capacity.yaml").read_text())
    for name, changes in TRAINER.items():
        own = training | {"trainer": training["trainer"] | changes}
        (place / f"{name}.yaml").write_text(yaml.safe_dump(own))
    for name in ("last.ckpt", "own.npz", "d.pddl", "p.pddl"):
        (place / name).touch()
    (place / "datasets" / "worldplan" / "hopper-own-v0" / "data").mkdir(parents=True)
    (place / "own_slider.py").write_text(
        "import gymnasium\ngymnasium.register('NearestSlider-v0', 'worldplan.envs.slider:Slider')\n"
    )
    make_run(place / "runs" / "clinic" / "a", "bandits", summary=[policy("fluid", 1.0)])
    return place


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder / "datasets"))
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.parametrize(("words", "near"), SLIPS)
def test_a_slip_gets_the_nearest_name(
    words: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"(did you mean {near}?)" in refused(words.split(), capsys)


@pytest.mark.parametrize(("words", "remedy"), KINDS)
def test_a_wrong_file_or_type_gets_its_remedy(
    words: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert remedy in refused(words.split(), capsys)
