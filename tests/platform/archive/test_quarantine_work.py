"""Releasing, re-checking and discarding: the same way in as any file, audited, and finished after a crash."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless, SecondaryCaptureImageStorage
from sqlalchemy import select
from sqlalchemy.orm import Session

from osler import audit
from osler.archive.keeper import Keeper
from osler.archive.models import Instance
from osler.archive.quarantine import Quarantine
from osler.archive.records import Outcome
from osler.archive.store import Archive
from osler.deid.options import BurnedIn, Profile
from osler.ingest import ingest
from osler.ingest.pipeline import _Run
from osler.ingest.release import DISCARD, OUTCOME, RELEASE, Decision, discard, release
from osler.ingest.second_look import Terms, recheck
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.contract import SHIPPED
from osler_contracts.errors import OslerError

KEY, DAY = bytes(32), date(2026, 1, 1)
ACTOR, REASON = "A. Engineer", "A radiograph, looked at; the sender names the wrong class."
Make = Callable[..., Dataset]
Write = Callable[..., Path]


def take(source: Path, workspace: Workspace, contract: str = "chest-radiograph", site: str = "a") -> None:
    ingest(source, site=site, workspace=workspace, contract=contract, key=KEY, workers=0, today=DAY)


def let_in(workspace: Workspace, sha256: str, actor: str = ACTOR) -> Decision:
    return release(workspace, sha256, actor=actor, reason=REASON, terms=terms())


def terms(contract: str | None = None) -> Terms:
    return Terms(KEY, contract, workers=0, today=DAY)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def archived(workspace: Workspace) -> dict[str, str]:
    return {path.name: digest(path) for path in sorted(workspace.archive.rglob("*.dcm"))}


def warnings(workspace: Workspace) -> list[list[str]]:
    with Session(Archive(workspace).engine) as session:
        return list(session.scalars(select(Instance.warnings)))


def accounts(workspace: Workspace) -> dict[Outcome, int]:
    return {outcome: sum(codes.values()) for outcome, codes in Archive(workspace).intake_counts().items()}


def actions(workspace: Workspace) -> list[str]:
    assert audit.verify(workspace).fault is None
    return [entry.action for entry in audit.entries(workspace)]


@pytest.fixture
def capture(make_radiograph: Make, write_dicom: Write, workspace: Workspace) -> Path:
    """Return a file that waits in the quarantine of `workspace` for a person: a secondary capture."""
    path = write_dicom(make_radiograph(SOPClassUID=SecondaryCaptureImageStorage))
    take(path, workspace)
    return path


def test_a_released_file_enters_like_any_other_and_the_release_stays_visible(
    capture: Path, workspace: Workspace, tmp_path: Path
) -> None:
    sha256 = digest(capture)
    assert Quarantine(workspace.quarantine).reason(sha256[:8]).severity == "quarantine"
    assert let_in(workspace, sha256[:8]) == Decision(sha256, "wrong-sop-class", "accepted")
    other = Workspace.open(tmp_path / "other", create=True)
    take(capture, other, contract="any-image")
    assert archived(workspace) == archived(other) != {}
    assert {"released", "wrong-sop-class"} <= set(warnings(workspace)[0])
    assert list(workspace.quarantine.iterdir()) == []
    assert accounts(workspace) == {Outcome.ACCEPTED: 1, Outcome.QUARANTINED: 0, Outcome.DUPLICATE: 0}
    asked, came = audit.entries(workspace)
    assert (asked.actor, asked.action, asked.subject, asked.details["reason"]) == (ACTOR, RELEASE, sha256, REASON)
    assert asked.details["code"] == "wrong-sop-class"
    assert (came.action, came.details) == (OUTCOME, {"outcome": "accepted"})
    # Given again, or received again, nothing changes.
    assert let_in(workspace, sha256[:8]).again
    assert actions(workspace) == [RELEASE, OUTCOME]
    take(capture, workspace)
    assert accounts(workspace)[Outcome.DUPLICATE] == 1


def test_what_is_refused_cannot_be_released(make_radiograph: Make, write_dicom: Write, workspace: Workspace) -> None:
    # The second violation alone would wait for a person.
    path = write_dicom(make_radiograph(Modality="MR", BodyPartExamined="FOOT"))
    text = path.parent / "note.txt"
    text.write_text("text")
    take(path.parent, workspace)
    for refused in (path, text):
        with pytest.raises(OslerError) as caught:
            let_in(workspace, digest(refused))
        assert caught.value.code is Code.NOT_RELEASABLE
    assert actions(workspace) == []
    assert len(Quarantine(workspace.quarantine).reasons()) == 2


def test_what_an_old_reason_leaves_open_the_contract_decides(
    make_radiograph: Make, write_dicom: Write, workspace: Workspace
) -> None:
    path = write_dicom(make_radiograph(Modality="MR"))
    take(path, workspace)
    reason = workspace.quarantine / f"{digest(path)}.json"
    reason.write_text(reason.read_text().replace('"severity": "refuse"', '"severity": ""'))
    assert let_in(workspace, digest(path)) == Decision(digest(path), "wrong-modality", "quarantined", "wrong-modality")
    assert archived(workspace) == {}
    assert actions(workspace) == [RELEASE, OUTCOME]


def test_a_release_does_not_spare_the_pixels(make_radiograph: Make, write_dicom: Write, workspace: Workspace) -> None:
    dataset = make_radiograph(SOPClassUID=SecondaryCaptureImageStorage)
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00\x01\x02\x03\x04"
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    path = write_dicom(dataset)
    take(path, workspace)
    assert Quarantine(workspace.quarantine).reason(digest(path)).code == "wrong-sop-class"
    decision = let_in(workspace, digest(path))
    assert (decision.outcome, decision.code) == ("quarantined", "pixels-undecodable")
    assert not Quarantine(workspace.quarantine).reason(digest(path)).releasable
    assert archived(workspace) == {}
    assert accounts(workspace) == {Outcome.ACCEPTED: 0, Outcome.QUARANTINED: 1, Outcome.DUPLICATE: 0}


@pytest.mark.parametrize("words", [{"actor": " "}, {"actor": "x\ny"}, {"reason": "x" * 501}, {"reason": "\x1b[31m"}])
def test_names_and_reasons_are_lines(capture: Path, workspace: Workspace, words: dict[str, str]) -> None:
    told = {"actor": ACTOR, "reason": REASON} | words
    with pytest.raises(OslerError) as caught:
        release(workspace, digest(capture), terms=terms(), **told)
    assert caught.value.code is Code.USAGE
    with pytest.raises(OslerError) as caught:
        discard(workspace, digest(capture), **told)
    assert caught.value.code is Code.USAGE
    assert actions(workspace) == []
    assert len(Quarantine(workspace.quarantine).reasons()) == 1


def test_nothing_leaves_the_quarantine_where_the_log_was_tampered_with(capture: Path, workspace: Workspace) -> None:
    audit.record(workspace, actor="A", action="test", subject="x")
    (workspace.feedback / audit.LOG).unlink()
    with pytest.raises(OslerError) as caught:
        let_in(workspace, digest(capture))
    assert caught.value.code is Code.AUDIT_BROKEN
    assert archived(workspace) == {}


# Where a process may die while it releases; each name is what it was about to do.
MOMENTS: dict[str, tuple[type, str, int]] = {
    "judge": (_Run, "_decide", 1),
    "commit": (Keeper, "commit", 1),
    "leave": (Quarantine, "release", 1),
    "unlink the reason": (Path, "unlink", 2),
    "write the outcome": (Keeper, "close", 1),
}


def _die_at(root: Path, sha256: str, owner: type, name: str, calls: int) -> None:
    original = getattr(owner, name)
    seen = Counter[str]()

    def dying(self: object, *arguments: object, **options: object) -> object:
        if owner is not Path or getattr(self, "parent", None) == root / "quarantine":
            seen["calls"] += 1
            if seen["calls"] == calls:
                os._exit(9)
        return original(self, *arguments, **options)

    setattr(owner, name, dying)
    let_in(Workspace.open(root), sha256)
    os._exit(0)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_release_that_was_killed_is_finished_by_giving_it_again(
    capture: Path, workspace: Workspace, moment: str
) -> None:
    sha256 = digest(capture)
    process = get_context("fork").Process(target=_die_at, args=(workspace.root, sha256, *MOMENTS[moment]))
    process.start()
    process.join()
    assert process.exitcode == 9
    decision = let_in(workspace, sha256)
    assert decision.outcome in ("accepted", "duplicate")
    assert len(archived(workspace)) == 1
    assert list(workspace.quarantine.iterdir()) == []
    assert "released" in warnings(workspace)[0]
    assert actions(workspace) == [RELEASE, OUTCOME]
    assert accounts(workspace)[Outcome.ACCEPTED] == sum(accounts(workspace).values()) == 1


def lenient(folder: Path) -> Path:
    """Write the shipped contract without its clause on the body part."""
    content = yaml.safe_load((SHIPPED / "chest-radiograph.yaml").read_text(encoding="utf-8"))
    content["clauses"] = [clause for clause in content["clauses"] if clause["code"] != "wrong-body-part"]
    path = folder / "lenient.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def test_after_a_contract_changed_the_quarantine_is_as_if_it_had_judged_from_the_start(
    make_radiograph: Make, write_dicom: Write, workspace: Workspace, tmp_path: Path
) -> None:
    files = {
        "one/foot.dcm": make_radiograph(1, BodyPartExamined="FOOT"),
        "one/fine.dcm": make_radiograph(2),
        "two/hand.dcm": make_radiograph(3, BodyPartExamined="HAND"),
        "two/hand-and-class.dcm": make_radiograph(4, BodyPartExamined="HAND", SOPClassUID=SecondaryCaptureImageStorage),
        "two/mr.dcm": make_radiograph(5, Modality="MR"),
    }
    paths = {name: write_dicom(dataset, name) for name, dataset in files.items()}
    source, contract = paths["one/foot.dcm"].parents[1], str(lenient(tmp_path))
    for site in ("one", "two"):
        take(source / site, workspace, site=site)
    take(source / "one", workspace, site="one")  # received twice: one of them will be a duplicate
    result = recheck(workspace, terms(contract))
    assert result.moves == {
        ("wrong-body-part", "accepted"): 2,
        ("wrong-sop-class", "wrong-sop-class"): 1,
        ("wrong-modality", "wrong-modality"): 1,
    }
    assert result.count(Outcome.ACCEPTED) == 2
    straight = Workspace.open(tmp_path / "straight", create=True)
    for site in ("one", "two", "one"):
        take(source / site, straight, contract=contract, site=site)
    assert archived(workspace) == archived(straight)
    assert Archive(workspace).intake_counts() == Archive(straight).intake_counts()
    assert Quarantine(workspace.quarantine).reasons() == Quarantine(straight.quarantine).reasons()
    sites = [{study.uid: study.site for study in Archive(place).studies()} for place in (workspace, straight)]
    assert sites[0] == sites[1]
    assert not any("released" in codes for codes in warnings(workspace))
    assert {reason.times for reason in Quarantine(workspace.quarantine)} == {1}


def test_recheck_chooses_by_code_site_and_contract(
    make_radiograph: Make, write_dicom: Write, workspace: Workspace, tmp_path: Path
) -> None:
    take(write_dicom(make_radiograph(1, BodyPartExamined="FOOT"), "1.dcm"), workspace, site="one")
    take(write_dicom(make_radiograph(2, Modality="MR"), "2.dcm"), workspace, site="two")
    contract = str(lenient(tmp_path))
    for choice in ({"site": "two"}, {"code": "wrong-modality"}, {"code": "wrong-modality", "site": "two"}):
        assert list(recheck(workspace, terms(contract), **choice).moves) == [("wrong-modality", "wrong-modality")]
    assert not recheck(workspace, terms("any-image")).moves
    judged = recheck(workspace, terms("any-image"), refused_by="chest-radiograph")
    assert judged.count(Outcome.ACCEPTED) == 2


def test_what_cannot_be_judged_again_is_said(make_radiograph: Make, write_dicom: Write, workspace: Workspace) -> None:
    write_dicom(make_radiograph(1, PatientID="A", BodyPartExamined="FOOT"), "1.dcm")
    other = make_radiograph(2, PatientID="B")
    other.StudyInstanceUID = "1.2.3.1.1"
    folder = write_dicom(other, "2.dcm").parent
    (folder / "gone").symlink_to(folder / "nowhere")
    take(folder, workspace)
    before = Quarantine(workspace.quarantine).reasons()
    skipped = recheck(workspace, terms()).skipped
    assert sum(skipped.values()) == 2 == sum("not kept" in why or "person" in why for why in skipped)
    assert len(before) == 3
    assert {reason.code for reason in Quarantine(workspace.quarantine)} == {reason.code for reason in before}


def test_a_discarded_file_is_gone_and_the_log_says_who(capture: Path, workspace: Workspace) -> None:
    sha256 = digest(capture)
    assert discard(workspace, sha256[:9], actor=ACTOR, reason="not ours") == Decision(
        sha256, "wrong-sop-class", "discarded"
    )
    assert list(workspace.quarantine.iterdir()) == []
    assert actions(workspace) == [DISCARD, OUTCOME]
    assert accounts(workspace)[Outcome.QUARANTINED] == 1
    for act in (let_in, lambda place, start: discard(place, start, actor=ACTOR, reason="again")):
        with pytest.raises(OslerError) as caught:
            act(workspace, sha256)
        assert caught.value.code is Code.UNKNOWN_FILE
    take(capture, workspace)
    assert let_in(workspace, sha256).outcome == "accepted"
    assert actions(workspace) == [DISCARD, OUTCOME, RELEASE, OUTCOME]


def test_a_study_of_two_patients_is_seen_across_runs_and_settled_by_a_person(
    make_radiograph: Make, write_dicom: Write, workspace: Workspace
) -> None:
    take(write_dicom(make_radiograph(1, PatientID="A"), "1.dcm"), workspace)
    other = make_radiograph(2, PatientID="B")
    other.StudyInstanceUID = "1.2.3.1.1"
    path = write_dicom(other, "2.dcm")
    take(path, workspace)
    (reason,) = Quarantine(workspace.quarantine)
    assert (reason.code, reason.severity) == ("study-of-two-patients", "quarantine")
    assert let_in(workspace, digest(path)).outcome == "accepted"
    assert ["released", "study-of-two-patients"] in warnings(workspace)
    assert len(archived(workspace)) == 2


def test_text_in_a_released_image_is_blanked_unless_the_release_says_otherwise(
    make_radiograph: Make, write_dicom: Write, workspace: Workspace, tmp_path: Path
) -> None:
    image = Image.new("L", (512, 400), 60)
    font = ImageFont.load_default(size=30)
    ImageDraw.Draw(image).text((40, 60), "GRABLOWSKI ZENOBIA", fill=250, font=font)
    stored = np.asarray(image).astype("<u2") * 16
    path = write_dicom(make_radiograph(pixels=stored))
    other = Workspace.open(tmp_path / "other", create=True)
    for place in (workspace, other):
        take(path, place)
        assert Quarantine(place.quarantine).reason(digest(path)).code == "burned-in-text"
    assert let_in(workspace, digest(path)).outcome == "accepted"
    as_it_is = replace(terms(), profile=Profile(burned_in=BurnedIn.UNJUDGED))
    assert release(other, digest(path), actor=ACTOR, reason=REASON, terms=as_it_is).outcome == "accepted"
    boxed, left = (dcmread(next(place.archive.rglob("*.dcm"))).pixel_array for place in (workspace, other))
    assert np.array_equal(left, stored)
    assert not np.array_equal(boxed, stored)
    assert np.array_equal(boxed[200:], stored[200:])
    assert len(np.unique(boxed[70:80, 50:300])) == 1
    assert {"released", "burned-in-text"} <= set(warnings(workspace)[0])
