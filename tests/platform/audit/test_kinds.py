"""Every kind of entry that the source can write has its line in the table of DICOM's audit events, with DICOM's own words."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.sr.codedict import codes

from osler.audit.kinds import KINDS, Coded
from osler.audit.message import ADDRESS, APPLICATION, DESTINATION, FROM_MEDIA, SOURCE, TO_MEDIA

from .recorded import Source, UnfollowedError

ROOT = Path(__file__).parents[3]
PACKAGES = [ROOT / one for one in ("platform/osler", "training/osler_training", "dashboard/osler_dashboard")]
# PS3.15 A.5.3: the actions that the message of an event may have.
ACTIONS = {
    "110100": "E", "110101": "R", "110102": "E", "110103": "CRUD", "110104": "CRU", "110105": "D", "110106": "R",
    "110107": "C", "110110": "CRUD", "110112": "E", "110113": "E", "110114": "E",
}  # fmt: skip


@pytest.fixture(scope="module")
def meanings() -> dict[str, str]:
    """Return what DICOM calls its codes, as pydicom has them."""
    return {code.value: code.meaning for code in (getattr(codes.DCM, name) for name in codes.DCM.dir())}


def test_the_table_has_each_kind_that_the_source_can_write_and_no_other() -> None:
    assert Source(PACKAGES).kinds() == set(KINDS)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("    audit.record(workspace, actor='a', action='new.kind', subject='s')", {"new.kind"}),
        ("    audit.record(workspace, actor='a', action=NEW if actor else 'an.other', subject='s')", {"new.one", "an.other"}),
        ("    _tell(workspace, 'new.kind')", {"new.kind"}),
        ("    _tell(workspace, f'new.{actor}')\n\ndef third(workspace):\n    second(workspace, 'way')", {"new.way"}),
        ("    run(audit.record, workspace, actor='a', action='new.kind', subject='s')", {"new.kind"}),
    ],
)  # fmt: skip
def test_a_new_kind_is_found_however_it_is_said(tmp_path: Path, said: str, found: set[str]) -> None:
    source = f"""
from osler import audit
NEW, OLD = "new.one", "old.one"
def _tell(workspace, action):
    audit.record(workspace, actor="a", action=action, subject="s")
def second(workspace, actor):
{said}
"""
    (tmp_path / "new.py").write_text(source)
    assert Source([ROOT / "platform/osler/audit", tmp_path]).kinds() == {*found, "audit.export", "audit.recovered"}


def test_an_action_that_nobody_can_follow_fails(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("def new(w):\n    audit.record(w, actor='a', action=made(w), subject='s')\n")
    with pytest.raises(UnfollowedError, match=r"new\.py:2"):
        Source([ROOT / "platform/osler/audit", tmp_path]).kinds()


def test_codes_of_dicom_mean_what_dicom_says(meanings: dict[str, str]) -> None:
    used = {one for kind in KINDS.values() for one in (kind.event, kind.type, kind.subject.identifier) if one}
    for one in used | {ADDRESS, APPLICATION, DESTINATION, FROM_MEDIA, SOURCE, TO_MEDIA}:
        if one.scheme == "DCM":
            assert meanings[one.code] == one.meaning
        else:
            assert one.scheme in ("99OSLER", "RFC-3881")
    assert meanings["110103"] == "DICOM Instances Accessed"


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_has_an_action_that_its_event_may_have(name: str) -> None:
    kind = KINDS[name]
    assert kind.action in ACTIONS[kind.event.code]
    assert kind.outcome in ("0", "4")
    if kind.event.code in ("110113", "110114"):
        assert isinstance(kind.type, Coded), "PS3.15 A.5.3 asks for a type of alerts and of log-ins"
