"""Rows of the worklist are written out once and again only where they say something else."""

from __future__ import annotations

import json
from typing import Any

from osler_contracts.codes import Code
from osler_dashboard import services
from osler_dashboard.listing import Rows, Told, line


def told(refused: Code | None, begun: bool = False) -> Told:
    found = services.studies()
    uid, study = next(iter(found.records.items()))
    return study, found.names[uid], None, refused, None, begun


def test_a_row_holds_what_its_line_says_and_is_made_once(demo: Any) -> None:
    rows = Rows()
    made = rows.row(told(None))
    assert json.loads(made) == json.loads(json.dumps(vars(line(*told(None)))))
    assert rows.row(told(None)) is made


def test_a_row_is_made_again_when_it_says_something_else(demo: Any) -> None:
    rows = Rows()
    before = json.loads(rows.row(told(None)))
    after = json.loads(rows.row(told(Code.NOTHING_ELIGIBLE)))
    assert (before["finding"], after["finding"]) == ("being read …", "No frontal image")
    assert json.loads(rows.row(told(None))) == before


def test_what_one_reader_has_begun_another_does_not_see(demo: Any) -> None:
    rows = Rows()
    own, others = (json.loads(rows.row(told(None, begun))) for begun in (True, False))
    assert (own["state_kind"], others["state_kind"]) == ("begun", "open")
    assert json.loads(rows.row(told(None, True))) == own
