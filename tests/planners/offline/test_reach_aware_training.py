"""Trainings of reach-aware value learning: resuming, divergence, restored policies."""

import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.places import ROOT
from tests.planners.offline.builders import SMALL, module_of
from worldplan.envs.dynamics.model import Prediction
from worldplan.envs.edge_of_reach import Plane, PlaneDynamics
from worldplan.envs.environments import make_environments
from worldplan.milp.errors import CheckpointError, ConfigError, Diverged
from worldplan.planners.offline.edge_of_reach import EdgeOfReach, for_plane
from worldplan.planners.offline.policy import ReachAwarePolicy
from worldplan.planners.offline.settings import ADDED, ReachAwareSettings, with_added
from worldplan.planners.offline.task import OfflineTask, plane_task
from worldplan.planners.offline.training import ReachAwareModule
from worldplan.world_models.training.trainer import fit

# those that differ from `ReachAwareSettings.paper()`
DEFAULTS = {
    "critics": 2,
    "diversity": 0.0,
    "layer_norm": True,
    "normalise_observations": True,
    "normalise_rewards": True,
}


def test_same_seed_same_training_and_other_seed_another(tmp_path):
    tables = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit(module_of(seed, epochs=3, check_every=2), tmp_path / name, save_every=1)
        tables.append((tmp_path / name / "metrics.csv").read_bytes())
    assert tables[0] == tables[1] != tables[2]


@pytest.mark.parametrize("interrupted_after", [1, 2, 3])
def test_interrupted_training_continues_to_the_same_metrics(tmp_path, interrupted_after):
    fit(module_of(epochs=4, check_every=2), tmp_path / "whole", save_every=1)
    fit(module_of(epochs=interrupted_after, check_every=2), tmp_path / "parts", save_every=1)
    (tmp_path / "parts" / "done").unlink()
    fit(module_of(epochs=4, check_every=2), tmp_path / "parts", save_every=1)
    whole, parts = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, parts, check_exact=True)
    first, second = (ReachAwarePolicy.load(tmp_path / name, 1) for name in ("whole", "parts"))
    assert torch.equal(first.actor.network.weights[0], second.actor.network.weights[0])


def test_edge_of_reach_diagnostics_are_resumed_and_belong_to_the_training(tmp_path):
    fit(for_plane(settings=SMALL, check_episodes=1, epochs=2, check_every=1), tmp_path / "whole")
    fit(for_plane(settings=SMALL, check_episodes=1, epochs=1, check_every=1), tmp_path / "parts")
    module = for_plane(settings=SMALL, check_episodes=1, epochs=2, check_every=1)
    fit(module, tmp_path / "parts")
    key = EdgeOfReach(Plane()).state_key
    whole, parts = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["callbacks"][key]["snapshots"]
        for name in ("whole", "parts")
    )
    assert list(whole) == list(parts) == ["1", "2"]
    for epoch, rollouts in whole.items():
        assert rollouts.shape == (100, SMALL.horizon + 1, 2)
        assert torch.equal(rollouts, parts[epoch])
    with pytest.raises(CheckpointError, match="other settings"):
        fit(for_plane(settings=SMALL, patch="oracle", epochs=3), tmp_path / "whole")


_SCRIPT = """
from pathlib import Path
from tests.planners.offline.builders import module_of
from worldplan.world_models.training.trainer import fit
fit(module_of(epochs=6, check_every=2), Path({folder!r}), save_every=1)
"""


def test_killed_training_continues_to_the_same_metrics(tmp_path):
    """SIGKILL at a random point, then the same call again."""

    fit(module_of(epochs=6, check_every=2), tmp_path / "whole", save_every=1)
    script = _SCRIPT.format(folder=str(tmp_path / "killed"))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while (
        not (tmp_path / "killed" / "last.ckpt").exists()
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    fit(module_of(epochs=6, check_every=2), tmp_path / "killed", save_every=1)
    whole, killed = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "killed"))
    pd.testing.assert_frame_equal(whole, killed, check_exact=True)


def test_a_checkpoint_from_before_a_setting_is_resumed(tmp_path):
    """Settings that were added later are absent from it, in its origin and in its record."""
    fit(module_of(epochs=2, check_every=1), tmp_path / "whole")
    folder = tmp_path / "old"
    fit(module_of(epochs=1, check_every=1), folder)
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    for name in ADDED:
        assert saved["made_with"].pop(f"settings.{name}", None) is None
        saved["reach_aware"].pop(name, None)
    torch.save(saved, folder / "last.ckpt")
    ReachAwarePolicy.load(folder, 1)
    fit(module_of(epochs=2, check_every=1), folder)
    whole, old = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "old"))
    pd.testing.assert_frame_equal(whole, old, check_exact=True)
    with pytest.raises(CheckpointError, match="layer_norm was not set, is True"):
        fit(module_of(epochs=3, check_every=1, layer_norm=True), folder)


def test_a_training_under_the_former_defaults_is_resumed_or_refused(tmp_path):
    """Defaults that changed: without them it is refused by name, with them resumed."""
    sizes = {"hidden": (8, 8), "batch": 8, "starts": 10, "updates": 3, "real_share": 0.0}

    def module(settings, epochs):
        task = plane_task(Plane(), starts=50)
        return ReachAwareModule(task, settings, epochs=epochs, check_every=1, check_episodes=1)

    folder, whole = tmp_path / "old", tmp_path / "whole"
    fit(module(ReachAwareSettings.paper(**sizes), 1), folder)
    written = {file: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    with pytest.raises(CheckpointError, match="settings.critics was 10, is 2") as refusal:
        fit(module(ReachAwareSettings(**sizes), 2), folder)
    assert "settings.layer_norm was not set, is True" in str(refusal.value)
    almost = ReachAwareSettings(**sizes, critics=10, diversity=1.0)
    with pytest.raises(CheckpointError, match="normalise_rewards was not set, is True"):
        fit(module(almost, 2), folder)
    assert {file: file.read_bytes() for file in written} == written
    for place in (folder, whole):
        fit(module(ReachAwareSettings.paper(**sizes), 2), place)
    whole, old = (pd.read_csv(place / "metrics.csv") for place in (whole, folder))
    pd.testing.assert_frame_equal(whole, old, check_exact=True)


def test_a_training_under_the_defaults_names_all_its_settings(tmp_path):
    """Its checkpoint says what it was trained with, so no later default changes its meaning."""
    fit(module_of(epochs=1, **DEFAULTS), tmp_path)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    for name, value in DEFAULTS.items():
        assert saved["made_with"][f"settings.{name}"] == repr(value), name
    assert saved["reach_aware"]["layer_norm"] is True
    with pytest.raises(CheckpointError, match="layer_norm was True, is not set"):
        fit(module_of(epochs=2, **DEFAULTS | {"layer_norm": False}), tmp_path)


def test_the_published_settings():
    published = ReachAwareSettings.paper(horizon=3)
    assert (published.critics, published.diversity, published.horizon) == (10, 1.0, 3)
    for name in ("layer_norm", "normalise_observations", "normalise_rewards"):
        assert not getattr(published, name)
    assert replace(published, horizon=5, **DEFAULTS) == ReachAwareSettings()
    assert ReachAwareSettings.paper(critics=50).critics == 50
    with pytest.raises(ConfigError, match="1 critics"):
        ReachAwareSettings.paper(critics=1)
    recorded = {"critics": 2, "diversity": 0.0, "hidden": (2, 2)}  # before they existed
    assert ReachAwareSettings(**with_added(recorded)) == ReachAwareSettings.paper(**recorded)
    assert with_added({"layer_norm": True})["layer_norm"] is True


@pytest.mark.parametrize(
    "changes",
    [{}, {"layer_norm": True, "normalise_observations": True, "normalise_rewards": True}],
)
def test_policy_is_restored_and_decides_in_bounds(tmp_path, changes):
    module = module_of(epochs=1, check_every=1, **changes)
    path = fit(module, tmp_path / "run", save_every=1)
    observations = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    for index in range(2):
        restored, direct = ReachAwarePolicy.load(path, index), module.policy(index)
        for mine, other in zip(
            restored.plan_batch(observations), direct.plan_batch(observations), strict=True
        ):
            np.testing.assert_array_equal(mine.action, other.action)
            assert mine.value == other.value and (np.abs(mine.action) <= 1).all()
        with torch.no_grad():  # one seed of the batched networks, by hand
            expected = module.agent.actor.mean_action(
                torch.as_tensor(observations).expand(2, -1, -1)
            )[index]
        np.testing.assert_allclose(
            np.stack([d.action for d in restored.plan_batch(observations)]),
            expected.numpy(),
            atol=1e-6,
        )
        np.testing.assert_allclose(restored.act(observations[0]), expected[0].numpy(), atol=1e-6)
    with pytest.raises(ConfigError, match="2 policies"):
        ReachAwarePolicy.load(path, 2)
    with pytest.raises(ConfigError, match="trained on 2"):
        restored.plan(np.zeros(3))


def test_divergence_names_the_last_good_checkpoint(tmp_path):
    fit(module_of(epochs=1, check_every=5), tmp_path, save_every=1)
    (tmp_path / "done").unlink()
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    saved["state_dict"]["agent.critics.network.weights.0"][3:] = (
        torch.nan
    )  # critics of the second seed
    torch.save(saved, tmp_path / "last.ckpt")
    written = (tmp_path / "last.ckpt").stat().st_mtime_ns
    with pytest.raises(
        Diverged,
        match=r"not a finite number in epoch 1 \(seed 1 of 2\)"
        r".*last good checkpoint is .*last\.ckpt",
    ):
        fit(module_of(epochs=3, check_every=5), tmp_path, save_every=1)
    assert (tmp_path / "last.ckpt").stat().st_mtime_ns == written, (
        "the state of a diverged training must not replace the last good one"
    )


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    fit(module_of(epochs=1), tmp_path)
    with pytest.raises(CheckpointError, match="other settings"):
        fit(module_of(diversity=2.0, epochs=2), tmp_path)


def test_other_start_states_make_another_training():
    first, second = (for_plane(settings=SMALL, start_seed=seed).made_with() for seed in (0, 1))
    assert first != second
    assert first == for_plane(settings=SMALL, start_seed=0).made_with()


def test_a_finished_training_is_prolonged(tmp_path):
    fit(module_of(epochs=3, check_every=1), tmp_path / "whole")
    fit(module_of(epochs=1, check_every=1), tmp_path / "more")
    fit(module_of(epochs=3, check_every=1), tmp_path / "more")
    whole, more = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "more"))
    pd.testing.assert_frame_equal(whole, more, check_exact=True)


def test_a_model_without_finite_predictions_stops_the_training(tmp_path):
    class Failing(PlaneDynamics):
        calls = 0

        def step(self, observation, action, **kwargs):
            self.calls += 1
            prediction = super().step(observation, action, **kwargs)
            return (
                prediction
                if self.calls <= SMALL.horizon
                else Prediction(
                    prediction.next_observation * torch.nan,
                    prediction.reward,
                    prediction.terminated,
                )
            )

    module = ReachAwareModule(replace(plane_task(Plane()), dynamics=Failing()), SMALL)
    with pytest.raises(Diverged, match="no finite transition in epoch 1"):
        fit(module, tmp_path)


def test_mobile_is_off_in_a_true_simulator(tmp_path):
    module = ReachAwareModule(
        _pendulum(), replace(SMALL, mobile=1.0), epochs=1, check_every=1, check_episodes=1
    )
    fit(module, tmp_path)
    assert module.agent.penalty is None


def _pendulum():
    from worldplan.envs.dynamics.mujoco import MujocoDynamics

    dynamics = MujocoDynamics("InvertedPendulum-v5", threads=1)
    observation, state = dynamics.reset(30, torch.Generator().manual_seed(0))
    return OfflineTask(
        dynamics,
        None,
        observation,
        state,
        -3 * torch.ones(1),
        3 * torch.ones(1),
        lambda count: make_environments("InvertedPendulum-v5", count),
    )


def test_damaged_and_missing_checkpoints(tmp_path):
    (tmp_path / "last.ckpt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(CheckpointError, match="delete it"):
        fit(module_of(epochs=1), tmp_path)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        ReachAwarePolicy.load(tmp_path)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        ReachAwarePolicy.load(tmp_path / "nothing")


def test_task_and_settings_must_fit():
    with pytest.raises(ConfigError, match="real_share"):
        ReachAwareModule(plane_task(Plane()), replace(SMALL, real_share=0.1))
    with pytest.raises(ConfigError, match="patch"):
        EdgeOfReach(Plane(), patch="nonsense")
