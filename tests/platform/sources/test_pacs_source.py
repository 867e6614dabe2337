"""C-FIND with C-MOVE and with C-GET against pynetdicom's own service classes."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, RLELossless, generate_uid
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import C_FIND

from osler.ingest.source import Source
from osler.sources.pacs import PacsOptions, PacsSource
from osler.sources.web_client import Patience
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .pacs_server import TITLE, PacsServer, as_stored

Take = Callable[[Source], list[tuple[bytes | None, str]]]
MakeRadiograph = Callable[..., Dataset]
Make = Callable[..., PacsSource]
KEY = b"k" * 32
PATIENCE = Patience(tries=2, pause_s=0.001, timeout_s=20)  # a busy machine answers late


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def films(make_radiograph: MakeRadiograph) -> list[Dataset]:
    """Films of four studies, in three transfer syntaxes."""
    made = []
    for number in range(7):
        film = make_radiograph(number, StudyInstanceUID=f"1.2.3.{number % 4}.1", Manufacturer=f"maker {number}")
        if number in (2, 5):
            film.compress(RLELossless if number == 2 else JPEG2000Lossless, generate_instance_uid=False)
        made.append(as_stored(film))
    return made


@pytest.fixture
def pacs(films: list[Dataset]) -> Iterator[PacsServer]:
    running = PacsServer(list(films), free_port())
    yield running
    running.close()


@pytest.fixture
def source(request: pytest.FixtureRequest, pacs: PacsServer, workspace: Workspace) -> Make:
    """Return a maker of sources of the PACS, by C-GET where a test does not say."""
    move = getattr(request, "param", "get") == "move"

    def make(**options: object) -> PacsSource:
        given = PacsOptions(get=not move, receive=("127.0.0.1", pacs._receive_port), patience=PATIENCE)
        return PacsSource("127.0.0.1", pacs.port, TITLE, workspace, KEY, replace(given, **options))  # type: ignore[arg-type]

    return make


def contents(taken: list[tuple[bytes | None, str]]) -> dict[str, tuple[str, str, str]]:
    """Return hash of the pixels, syntax and maker of each file received, by its UID."""
    found = {}
    for content, code in taken:
        if content is not None and not code:
            item = dcmread(BytesIO(content))
            digest = hashlib.sha256(item.PixelData).hexdigest()
            found[item.SOPInstanceUID] = (digest, item.file_meta.TransferSyntaxUID, item.Manufacturer)
    return found


def expected(films: list[Dataset]) -> dict[str, tuple[str, str, str]]:
    return {
        film.SOPInstanceUID: (
            hashlib.sha256(film.PixelData).hexdigest(),
            film.file_meta.TransferSyntaxUID,
            film.Manufacturer,
        )
        for film in films
    }


@pytest.mark.parametrize("source", ["move", "get"], indirect=True)
def test_everything_arrives_as_it_is_stored(
    source: Make, take: Take, films: list[Dataset], workspace: Workspace
) -> None:
    with source() as opened:
        assert opened.total == len(films)
    taken = take(source())
    assert [code for _, code in taken] == [""] * len(films)
    assert contents(taken) == expected(films)
    assert not (workspace.root / "spool" / "pacs").exists()


def test_no_name_of_the_peer_becomes_a_path(source: Make, workspace: Workspace, films: list[Dataset]) -> None:
    with source() as opened:
        names = [arrival.path.name for arrival in opened]
    assert len(set(names)) == len(films)
    for name in names:
        assert len(name) == 44
        assert "1.2" not in name


def test_settled_is_not_fetched_again_unless_asked(
    source: Make, take: Take, pacs: PacsServer, films: list[Dataset]
) -> None:
    with source() as opened:
        arrivals = list(opened)
        opened.settled(arrivals[:4])
    pacs.retrieved.clear()
    second = source()
    assert len(take(second)) == len(films) - 4
    assert second.known == 4
    assert sum(pacs.retrieved.values()) == len(films) - 4
    assert take(source()) == []
    assert contents(take(source(refetch=True))) == expected(films)


def test_filters_go_into_the_query(source: Make, take: Take, pacs: PacsServer) -> None:
    taken = take(source(query={"StudyInstanceUID": "1.2.3.1.1", "PatientID": "MRN00001"}))
    assert set(contents(taken)) == {"1.2.3.1.3", "1.2.3.5.3"}
    assert pacs.found[0].PatientID == "MRN00001"


@pytest.mark.parametrize("source", ["move", "get"], indirect=True)
def test_what_is_not_delivered_is_refused_and_asked_for_again(
    source: Make, take: Take, pacs: PacsServer, films: list[Dataset]
) -> None:
    pacs.faults.withheld = {films[1].SOPInstanceUID, films[6].SOPInstanceUID}
    taken = take(source())
    assert sorted(code for _, code in taken) == [""] * 5 + ["transfer-failed"] * 2
    pacs.faults.withheld = set()
    assert set(contents(take(source()))) == {films[1].SOPInstanceUID, films[6].SOPInstanceUID}


@pytest.mark.parametrize("source", ["move", "get"], indirect=True)
def test_an_abort_is_overcome(source: Make, take: Take, pacs: PacsServer, films: list[Dataset]) -> None:
    pacs.faults.aborts = 1
    assert contents(take(source())) == expected(films)


@pytest.mark.parametrize("known", [True, False])
def test_a_pacs_that_tells_little(
    source: Make, take: Take, pacs: PacsServer, films: list[Dataset], known: bool
) -> None:
    pacs.faults.counts = pacs.faults.tells_class = known
    with source() as opened:
        assert opened.total == (len(films) if known else None)
    assert set(contents(take(source()))) == set(expected(films))


@pytest.mark.parametrize("lost", [1, 100])
def test_an_answer_that_the_library_drops_is_asked_for_again(
    source: Make, take: Take, pacs: PacsServer, films: list[Dataset], monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """As pynetdicom's own thread does now and then, which looks for requests where our answers wait (its issue 875)."""
    pacs.faults.counts = False
    handed, dropped = DIMSEServiceProvider.get_msg, []

    def get_msg(self: DIMSEServiceProvider, block: bool = False) -> Any:
        found = handed(self, block)
        if isinstance(found[1], C_FIND) and found[1].Status == 0xFF00 and len(dropped) < lost:
            dropped.append(found)
            return handed(self, block)
        return found

    monkeypatch.setattr(DIMSEServiceProvider, "get_msg", get_msg)
    if lost == 1:
        assert set(contents(take(source()))) == set(expected(films))
    else:
        with pytest.raises(OslerError) as caught:
            take(source())
        assert caught.value.code is Code.SOURCE_FAILED
    assert dropped


def test_counts_are_compared(source: Make, take: Take, pacs: PacsServer, films: list[Dataset]) -> None:
    pacs.faults.extra = 1
    codes = [code for _, code in take(source())]
    assert sorted(codes) == [""] * len(films) + ["listing-incomplete"] * 4


def test_a_pacs_that_fails_at_everything_ends_the_run(
    source: Make, take: Take, pacs: PacsServer, make_radiograph: MakeRadiograph
) -> None:
    pacs.datasets = [as_stored(make_radiograph(number)) for number in range(20)]
    pacs.faults.move_status = 0xC001
    with pytest.raises(OslerError) as caught:
        take(source())
    assert caught.value.code is Code.SOURCE_FAILED


@pytest.mark.parametrize("source", ["move", "get"], indirect=True)
def test_a_pacs_that_goes_away_ends_the_run(source: Make, pacs: PacsServer, take: Take) -> None:
    def take_until_it_ends() -> None:
        with source() as opened:
            for arrival in opened:
                opened.settled([arrival])
                pacs.close()

    with pytest.raises(OslerError) as caught:
        take_until_it_ends()
    assert caught.value.code is Code.SOURCE_UNREACHABLE


def test_refusals_of_a_query(source: Make, pacs: PacsServer) -> None:
    pacs.faults.find_status = 0xC001
    with pytest.raises(OslerError) as caught, source():
        pass
    assert caught.value.code is Code.SOURCE_FAILED


def test_no_match(source: Make) -> None:
    with pytest.raises(OslerError) as caught, source(query={"PatientID": "nobody"}):
        pass
    assert caught.value.code is Code.EMPTY_SOURCE


def test_a_title_that_the_pacs_does_not_know(source: Make, pacs: PacsServer) -> None:
    with pytest.raises(OslerError) as caught, source(own_title="STRANGER"):
        pass
    assert caught.value.code is Code.SOURCE_REFUSED


def test_a_destination_that_the_pacs_does_not_know(films: list[Dataset], workspace: Workspace) -> None:
    pacs = PacsServer(list(films), free_port(), caller="OTHER")
    options = PacsOptions(own_title="OTHER", receive=("127.0.0.1", pacs._receive_port), patience=PATIENCE)
    with (
        PacsSource("127.0.0.1", pacs.port, TITLE, workspace, KEY, options) as source,
        pytest.raises(OslerError) as caught,
    ):
        next(iter(source))
    assert caught.value.code is Code.SOURCE_REFUSED
    assert "OTHER" in caught.value.mend
    pacs.close()


def test_a_port_in_use(pacs: PacsServer, workspace: Workspace) -> None:
    options = PacsOptions(receive=("127.0.0.1", pacs.port), patience=PATIENCE)
    with pytest.raises(OslerError) as caught, PacsSource("127.0.0.1", pacs.port, TITLE, workspace, KEY, options):
        pass
    assert caught.value.code is Code.ADDRESS_OCCUPIED


def test_unasked_objects_are_not_taken(pacs: PacsServer, workspace: Workspace, make_radiograph: MakeRadiograph) -> None:
    from pynetdicom import build_context

    from osler.sources.dimse import Peer  # the PACS as a caller

    options = PacsOptions(receive=("127.0.0.1", pacs._receive_port), patience=PATIENCE)
    film = as_stored(make_radiograph(99, SOPInstanceUID=generate_uid()))
    with PacsSource("127.0.0.1", pacs.port, TITLE, workspace, KEY, options):
        peer = Peer("127.0.0.1", pacs._receive_port, "OSLER", TITLE, None, PATIENCE)
        association = peer.associate([build_context(film.SOPClassUID)])
        assert association.send_c_store(film).Status == 0x0124
        association.release()
        assert [path for path in (workspace.root / "spool" / "pacs").rglob("*") if path.is_file()] == []
        with pytest.raises(OslerError) as caught:
            Peer("127.0.0.1", pacs._receive_port, "OSLER", "STRANGER", None, PATIENCE).associate(
                [build_context(film.SOPClassUID)]
            )
    assert caught.value.code is Code.SOURCE_REFUSED
