"""What a protocol must say, and that what is wrong with one is told before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from osler.reader_study.protocol import parse_protocol, read_protocol
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

GOOD = """
name: first
title: Does it help?
model: main
arms:
  unaided: {shows: nothing}
  prediction: {shows: prediction}
  concepts: {shows: concepts}
  unpatched: {shows: concepts, patch: false}
readers: [Dr A, Dr B]
cases: {site: hospital_b, count: 12}
"""


def test_a_good_one_is_read_with_its_defaults() -> None:
    protocol = parse_protocol(GOOD.encode(), "p.yaml")
    assert (protocol.unaided, protocol.readings, protocol.wrong, protocol.washout_days) == (
        "unaided",
        "every arm",
        0.25,
        28,
    )
    assert "wrong on purpose" in protocol.told


def test_readers_are_told_of_wrong_advice_only_where_there_is_some() -> None:
    assert "on purpose" not in parse_protocol((GOOD + "wrong: 0\n").encode(), "p").told
    alone = GOOD.split("  prediction:", maxsplit=1)[0] + "readers: [A]\ncases: {site: b, count: 4}\nwrong: 0\n"
    assert "without help" in parse_protocol(alone.encode(), "p").told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("readers: [Dr A, Dr B]", "readers: [Dr A, dr a]"), "somebody twice"),
        (("readers: [Dr A, Dr B]", "readers: []"), "readers"),
        (("name: first", "name: ../escape"), "name"),
        (("name: first", "name: a/b"), "name"),
        (("{shows: prediction}", "{shows: nothing}"), "show the same"),
        (("{shows: prediction}", "{shows: nothing, patch: false}"), "more than one"),
        (("{shows: prediction}", "{shows: heatmap}"), "arms.prediction.shows"),
        (("{site: hospital_b, count: 12}", "{site: hospital_b}"), "either `count` or `studies`"),
        (("{site: hospital_b, count: 12}", "{site: b, count: 12, studies: [a]}"), "either"),
        (("{site: hospital_b, count: 12}", "{site: b, studies: [a, a]}"), "twice"),
        (("model: main", "model: main\nwrong: 0.9"), "wrong"),
        (("model: main", "model: main\nwashout_days: -1"), "washout_days"),
        (("model: main", "model: main\nsurprise: 1"), "surprise"),
        (("title: Does it help?", "title: ''"), "title"),
        ((GOOD, "[1, 2"), "not YAML"),
        ((GOOD, "- 1"), "the protocol"),
        ((GOOD, "\x00"), "not YAML"),
    ],
)
def test_what_is_wrong_is_named(change: tuple[str, str], told: str) -> None:
    with pytest.raises(OslerError, match=told) as refused:
        parse_protocol(GOOD.replace(*change).encode(), "p.yaml")
    assert refused.value.code is Code.PROTOCOL_INVALID
    assert refused.value.mend


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(OslerError) as refused:
        read_protocol(tmp_path / "none.yaml")
    assert refused.value.code is Code.SOURCE_MISSING
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "long.yaml").write_bytes(b"a" * 1_100_000)
    for name in ("binary.yaml", "long.yaml"):
        with pytest.raises(OslerError) as refused:
            read_protocol(tmp_path / name)
        assert refused.value.code is Code.PROTOCOL_INVALID
