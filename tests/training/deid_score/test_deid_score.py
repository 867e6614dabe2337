"""A small share of the planted score: the whole is run by hand, see `osler_training.deid_score.score`."""

from __future__ import annotations

from pathlib import Path

from osler_training.deid_score.score import Score, score


def test_every_action_is_right_on_a_few_studies(tmp_path: Path) -> None:
    result = score(tmp_path / "planted", 4, size=128)
    assert result.misses == []
    assert result.share() == 1
    assert sum(result.total.values()) > 600
    expected = {"removed", "retained", "mapped", "shifted", "shifted alike", "pixels kept", "not found again", "said so"}
    assert expected <= set(result.total)


def test_a_miss_lowers_the_share_and_is_listed() -> None:
    result = Score()
    result.count("removed", "StudyID", right=True)
    result.count("removed", "StationName", right=False)
    assert result.share() == 0.5
    assert result.misses == ["removed: StationName"]
