"""What can be asked of an engine, and streams that are longer than what is held of them."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterator

import pytest

from osler.engine import EngineChoice
from osler.engine.base import QUEUED, WINDOW
from osler.engine.local import LocalEngine
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@pytest.mark.parametrize(
    "options",
    [{"name": "spark"}, {"name": "local", "address": "a:1"}, {"name": "ray", "workers": 0}],
    ids=lambda options: options["name"],
)
def test_what_does_not_go_together_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(OslerError) as caught:
        EngineChoice(**options)  # type: ignore[arg-type]
    assert caught.value.code is Code.USAGE


@pytest.mark.parametrize("address", ["head", "ray://head:10001", "head:port", ":6379"])
def test_an_address_must_be_one(address: str) -> None:
    with pytest.raises(OslerError) as caught:
        EngineChoice("ray", address=address).open()
    assert caught.value.code is Code.USAGE


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OslerError) as caught:
        EngineChoice("ray").open()
    assert caught.value.code is Code.PART_MISSING
    assert "osler[ray]" in caught.value.mend


def test_a_long_stream_is_held_in_part() -> None:
    """Items are drawn as answers are taken, never all at once."""
    drawn = 0

    def items() -> Iterator[int]:
        nonlocal drawn
        for number in range(3 * WINDOW):
            drawn += 1
            yield number

    with LocalEngine(1) as engine:
        answers = engine.map(operator.neg, items())
        assert drawn <= QUEUED + WINDOW
        for number, answer in enumerate(answers):
            assert answer == -number
            assert drawn <= number + 1 + WINDOW
    assert drawn == 3 * WINDOW


def test_answers_as_they_are_finished_are_all_there() -> None:
    with LocalEngine(2, ahead=1) as engine:
        assert sorted(engine.map(abs, range(-50, 0), ordered=False)) == list(range(1, 51))
