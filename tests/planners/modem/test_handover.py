"""The handover: the planner's share by each rule, its state, and who acts."""

from __future__ import annotations

import pytest
import torch

from worldplan.planners.modem.handover import Handover
from worldplan.planners.modem.settings import HandoverSettings


@pytest.mark.parametrize(
    ("kind", "shares"), [("steps", [0.0, 0.5, 1.0]), ("success", [0.0] * 3), ("uncertainty", None)]
)
def test_the_share_follows_its_rule(kind: str, shares: list[float] | None) -> None:
    handover = Handover(HandoverSettings(kind=kind, begin=100, end=300))
    expected = shares or [None] * 3
    assert [handover.share(step) for step in (50, 200, 300)] == expected
    alone = Handover(HandoverSettings(kind=kind), has_clone=False)
    assert alone.share(0) == 1.0


def test_the_state_is_restored_from_a_larger_record() -> None:
    settings = HandoverSettings(kind="success", stride=0.25)
    first, second = Handover(settings), Handover(settings)
    first.record_clone(0.5)
    first.record_planner(0.5)
    second.load_state_dict({"counts": 3, **first.state_dict()})
    assert second.share(0) == 0.25
    second.record_planner(0.4)  # below the restored success of the clone
    assert second.share(0) == 0.0


def test_segments_draws_and_agreement() -> None:
    handover = Handover(HandoverSettings(segment=3, limit=0.1))
    assert [handover.begins_segment(step) for step in range(4)] == [True, False, False, True]
    drawn = handover.draw(0.3, 10_000, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.bool
    assert float(drawn.double().mean()) == pytest.approx(0.3, abs=0.02)
    spread = torch.tensor([0.0, 0.19, 0.21])
    assert handover.critics_agree(spread, torch.tensor(2.0)).tolist() == [True, True, False]
    assert not handover.critics_agree(spread, torch.tensor(0.0)).any()
