"""DICOMweb against a server that errs on demand: everything it has arrives once, or is accounted for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from osler.archive import Archive
from osler.ingest import ingest
from osler.ingest.source import Arrival, Source
from osler.sources.dicomweb import DicomwebSource, WebOptions
from osler.sources.web_client import Patience
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .web_server import PASSWORD, USER, WebServer

Take = Callable[[Source], list[tuple[bytes | None, str]]]
KEY = b"k" * 32
PATIENCE = Patience(tries=3, pause_s=0.001, timeout_s=5)
NAMES = [
    (f"1.2.{study}", f"1.3.{study}.{image % 2}", f"1.4.{study}.{image}") for study in range(7) for image in range(5)
]


@pytest.fixture
def server() -> Iterator[WebServer]:
    running = WebServer({name: f"content of {name[2]}".encode() * 50 for name in NAMES})
    yield running
    running.close()


@pytest.fixture
def source(server: WebServer, workspace: Workspace) -> Callable[..., DicomwebSource]:
    """Return a maker of sources of the server."""

    def make(**options: object) -> DicomwebSource:
        web = replace(WebOptions(page=3, patience=PATIENCE), **options)  # type: ignore[arg-type]
        return DicomwebSource(server.address, workspace, KEY, web)

    return make


Make = Callable[..., DicomwebSource]


def whole(server: WebServer) -> list[tuple[bytes | None, str]]:
    return [(server.instances[name], "") for name in sorted(server.instances)]


@pytest.mark.parametrize("cap", [1, 2, 1000])
def test_every_page_is_read_whatever_the_server_caps(source: Make, server: WebServer, take: Take, cap: int) -> None:
    server.faults.cap = cap
    with source() as opened:
        assert opened.total == len(NAMES)
    assert take(source()) == whole(server)
    assert set(server.fetched().values()) == {1}


def test_a_server_deaf_to_offsets_ends_and_is_found_short(source: Make, server: WebServer, take: Take) -> None:
    server.faults.deaf_to_offset = True
    codes = [code for _, code in take(source())]
    assert codes == ["", "", "", "listing-incomplete"] * 3


def test_asks_for_what_is_stored(source: Make, server: WebServer, take: Take) -> None:
    take(source(query={"StudyDate": "20240101-20240201", "ModalitiesInStudy": "DX"}))
    assert server.accepts == {'multipart/related; type="application/dicom"; transfer-syntax=*'}
    first = server.queries[0]
    assert (first["StudyDate"], first["ModalitiesInStudy"], first["offset"]) == (["20240101-20240201"], ["DX"], ["0"])


def test_instances_without_envelope(source: Make, server: WebServer, take: Take) -> None:
    server.faults.envelope = False
    assert take(source()) == whole(server)


@pytest.mark.parametrize(("told", "codes"), [(5, ()), (6, ("listing-incomplete",)), (4, ()), (None, ())])
def test_counts_are_compared(
    source: Make, server: WebServer, take: Take, told: int | None, codes: tuple[str, ...]
) -> None:
    server.faults.counts["1.2.3"] = told
    taken = take(source())
    assert [item for item in taken if not item[1]] == whole(server)
    assert tuple(code for _, code in taken if code) == codes


def test_a_failure_that_passes_is_tried_again(source: Make, server: WebServer, take: Take) -> None:
    server.faults.status = {"1.4.2.1": (503, 2), "studies": (502, 1), "instances": (429, 1)}
    server.faults.cut = {"1.4.3.0": 1, "1.4.4.0": 2, "instances": 1}
    assert take(source()) == whole(server)


def test_what_fails_for_good_is_refused_and_asked_for_again_next_time(
    source: Make, server: WebServer, take: Take
) -> None:
    server.faults.status = {"1.4.2.1": (500, 3), "1.4.5.0": (404, 1)}
    server.faults.cut = {"1.4.3.0": 3}
    failed = {"1.4.2.1", "1.4.5.0", "1.4.3.0"}
    first = take(source())
    assert [code for _, code in first].count("transfer-failed") == 3
    assert [content for content, code in first if code] == [None] * 3
    server.asked.clear()
    second = source()
    assert take(second) == [(server.instances[name], "") for name in sorted(server.instances) if name[2] in failed]
    assert set(server.fetched()) == failed
    assert second.known == len(NAMES) - 3


def test_settled_is_not_fetched_again_unless_asked(source: Make, server: WebServer, take: Take) -> None:
    take(source())
    server.asked.clear()
    new = ("1.2.9", "1.3.9", "1.4.9")
    server.instances[new] = b"new"
    assert take(source()) == [(b"new", "")]
    assert set(server.fetched()) == {"1.4.9"}
    assert take(source(refetch=True)) == whole(server)


def test_fetched_but_not_settled_is_fetched_again(source: Make, server: WebServer, take: Take) -> None:
    with source() as opened:
        arrivals = [arrival for arrival, _ in zip(opened, range(8), strict=False)]
        opened.settled(arrivals[:5])
        assert [arrival.path.exists() for arrival in arrivals] == [False] * 5 + [True] * 3
    assert not any(arrival.path.exists() for arrival in arrivals)
    assert take(source()) == whole(server)[5:]


def test_a_server_that_goes_away_ends_the_run_and_the_next_goes_on(
    source: Make, server: WebServer, take: Take, workspace: Workspace
) -> None:
    settled: list[Arrival] = []

    def take_until_it_ends() -> None:
        with source() as opened:
            for arrival in opened:
                opened.settled([arrival])
                settled.append(arrival)
                if len(settled) == 4:
                    server.close()

    with pytest.raises(OslerError) as caught:
        take_until_it_ends()
    assert caught.value.code is Code.SOURCE_UNREACHABLE
    assert len(settled) >= 4
    assert not (workspace.root / "spool" / "dicomweb").exists()


def test_a_server_that_fails_at_everything_ends_the_run(source: Make, server: WebServer, take: Take) -> None:
    server.faults.status = {name[2]: (500, 99) for name in NAMES}
    with pytest.raises(OslerError) as caught:
        take(source())
    assert caught.value.code is Code.TRANSFER_FAILED
    assert len(server.fetched()) == 10


def test_identifiers_that_are_none_are_refused_and_never_asked_for(source: Make, server: WebServer, take: Take) -> None:
    server.instances = {
        ("1.2.1", "1.3.1", "../../x"): b"a",
        ("1.2/..", "1.3.1", "1.4.1"): b"b",
        ("1.2.1", "1.3.1", "1.4.2"): b"c",
    }
    assert sorted(take(source()), key=str) == [(None, "uid-invalid"), (None, "uid-invalid"), (b"c", "")]
    assert set(server.fetched()) == {"1.4.2"}


@pytest.mark.parametrize(
    ("status", "times", "code"),
    [
        (401, 9, Code.SOURCE_REFUSED_LOGIN),
        (403, 9, Code.SOURCE_REFUSED_LOGIN),
        (404, 9, Code.NOT_DICOMWEB),
        (400, 1, Code.SOURCE_REFUSED),  # this query
        (400, 9, Code.NOT_DICOMWEB),  # every query
        (500, 9, Code.SOURCE_FAILED),
        (503, 9, Code.SOURCE_FAILED),
    ],
)
def test_each_status_has_its_code_and_quotes_nothing(
    source: Make, server: WebServer, status: int, times: int, code: Code
) -> None:
    server.faults.status = {"studies": (status, times)}
    with pytest.raises(OslerError) as caught, source(query={"PatientID": "MRN-SECRET"}):
        pass
    assert caught.value.code is code
    assert "patient's" not in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_rest_root_is_no_dicomweb(source: Make, server: WebServer, workspace: Workspace) -> None:
    root = server.address.removesuffix("/dicom-web")
    with pytest.raises(OslerError) as caught, DicomwebSource(root, workspace, KEY, WebOptions(patience=PATIENCE)):
        pass
    assert caught.value.code is Code.NOT_DICOMWEB
    assert "/dicom-web" in caught.value.mend


def test_login_of_the_environment(source: Make, server: WebServer, take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    server.login = True
    with pytest.raises(OslerError) as caught, source():
        pass
    assert caught.value.code is Code.SOURCE_REFUSED_LOGIN
    monkeypatch.setenv("OSLER_DICOMWEB_USER", USER)
    monkeypatch.setenv("OSLER_DICOMWEB_PASSWORD", PASSWORD)
    assert take(source()) == whole(server)


def test_the_users_netrc_is_not_shown_unasked(
    source: Make, server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.login = True
    monkeypatch.setenv("HOME", str(tmp_path))
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}")
    netrc.chmod(0o600)
    with pytest.raises(OslerError) as caught, source():
        pass
    assert caught.value.code is Code.SOURCE_REFUSED_LOGIN


def test_nobody_there(workspace: Workspace) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/dicom-web"
        options = WebOptions(patience=PATIENCE)
        with pytest.raises(OslerError) as caught, DicomwebSource(address, workspace, KEY, options):
            pass
    assert caught.value.code is Code.SOURCE_UNREACHABLE


def test_no_match(source: Make, server: WebServer) -> None:
    server.instances = {}
    with pytest.raises(OslerError) as caught, source():
        pass
    assert caught.value.code is Code.EMPTY_SOURCE


def test_no_log_line_holds_what_was_asked_for(
    source: Make, server: WebServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    server.close()
    with caplog.at_level("DEBUG"), pytest.raises(OslerError), source(query={"PatientID": "MRN-SECRET"}):
        pass
    said = capfd.readouterr()
    assert "SECRET" not in caplog.text + said.out + said.err


def test_a_failure_leaves_the_quarantine_when_its_image_arrives(
    source: Make, server: WebServer, workspace: Workspace, file_bytes: Callable[..., bytes]
) -> None:
    server.instances = {
        (f"1.2.3.{number}.1", f"1.2.3.{number}.2", f"1.2.3.{number}.3"): file_bytes(number) for number in range(3)
    }
    server.faults.status = {"1.2.3.1.3": (500, 3)}
    server.faults.counts["1.2.3.2.1"] = 2

    def run() -> tuple[int, list[str]]:
        summary = ingest(source(), site="a", workspace=workspace, key=KEY, workers=0)
        return summary.accepted, sorted(reason.code for reason in Archive(workspace).quarantine.reasons())

    assert run() == (2, ["listing-incomplete", "transfer-failed"])
    server.faults.counts.clear()
    assert run() == (1, [])
