"""What SOURCE may be on the command line, and what bad input is answered with."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from osler.cli.main import main
from osler.ingest.source import Source
from osler.sources.address import FORMS, Address, Kind, parse_address, parse_place, parse_query
from osler.sources.dicomdir import DicomdirSource
from osler.sources.dicomweb import DicomwebSource
from osler.sources.listener import ListenerSource
from osler.sources.opening import SourceOptions, open_source
from osler.sources.pacs import PacsSource
from osler.sources.zipped import ZipSource
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

KEY = b"k" * 32


def opened(text: str, workspace: Workspace, **options: object) -> Path | Source:
    return open_source(text, workspace=workspace, site="a", key=KEY, options=SourceOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/data/films", Address(Kind.PATH, "/data/films")),
        ("a folder: with/odd://name", Address(Kind.PATH, "a folder: with/odd://name")),
        ("HTTPS://pacs/dicom-web", Address(Kind.WEB, "HTTPS://pacs/dicom-web", "pacs")),
        ("http://[::1]:8042/dicom-web", Address(Kind.WEB, "http://[::1]:8042/dicom-web", "::1", 8042)),
        ("dicom://MY PACS@host:104", Address(Kind.PACS, "dicom://MY PACS@host:104", "host", 104, "MY PACS")),
        ("dicom://A@B@host:104/", Address(Kind.PACS, "dicom://A@B@host:104/", "host", 104, "A@B")),
        ("listen://0.0.0.0:11112", Address(Kind.LISTENER, "listen://0.0.0.0:11112", "0.0.0.0", 11112)),
        ("listen://ME@[::]:11112", Address(Kind.LISTENER, "listen://ME@[::]:11112", "::", 11112, "ME")),
    ],
)
def test_forms(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "ftp://host/films",
        "http://",
        "http://host:port/x",
        "http://host/x?StudyDate=1",
        "https://user:hunter2@host/dicom-web",
        "dicom://host:104",
        "dicom://@host:104",
        "dicom://PACS@host",
        "dicom://PACS@host:0",
        "dicom://PACS@host:65536",
        "dicom://PACS@:104",
        "listen://host",
        "listen://:x",
    ],
)
def test_bad_addresses_are_told_with_the_forms_and_without_themselves(text: str) -> None:
    with pytest.raises(OslerError) as caught:
        parse_address(text)
    assert caught.value.code is Code.USAGE
    assert "hunter2" not in str(caught.value)


def test_each_kind_opens(workspace: Workspace, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "films", "w") as archive:
        archive.writestr("a", b"x")
    (tmp_path / "dicomdir").write_bytes(b"")
    (tmp_path / "one.dcm").write_bytes(b"no zip")
    assert isinstance(opened(str(tmp_path / "films"), workspace), ZipSource)
    assert isinstance(opened(str(tmp_path / "dicomdir"), workspace), DicomdirSource)
    for path in (tmp_path, tmp_path / "one.dcm", tmp_path / "nowhere"):
        assert opened(str(path), workspace) == path
    assert isinstance(opened("http://host/dicom-web", workspace, query={"PatientSex": "F"}, page=5), DicomwebSource)
    assert isinstance(opened("dicom://PACS@host:104", workspace, retrieve="get"), PacsSource)
    assert isinstance(opened("listen://127.0.0.1:11112", workspace), ListenerSource)
    assert isinstance(opened("listen://0.0.0.0:11112", workspace, callers=("PACS",)), ListenerSource)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("/data", {"query": {"PatientSex": "F"}}),
        ("/data", {"callers": ("PACS",)}),
        ("http://host/x", {"retrieve": "move"}),
        ("http://host/x", {"tls": True}),
        ("dicom://PACS@host:104", {}),
        ("dicom://PACS@host:104", {"retrieve": "get", "receive": ("", 104)}),
        ("dicom://PACS@host:104", {"retrieve": "get", "until": 5}),
        ("dicom://PACS@host:104", {"retrieve": "get", "ca": Path("ca.pem")}),
        ("dicom://PACS@host:104", {"retrieve": "get", "title": "SEVENTEEN LETTERS"}),
        ("dicom://SEVENTEEN LETTERS@host:104", {"retrieve": "get"}),
        ("listen://0.0.0.0:11112", {}),
        ("listen://127.0.0.1:11112", {"query": {"PatientSex": "F"}}),
    ],
)
def test_options_that_make_no_sense(workspace: Workspace, text: str, options: dict[str, object]) -> None:
    with pytest.raises(OslerError) as caught:
        opened(text, workspace, **options)
    assert caught.value.code is Code.USAGE


def test_queries_and_places() -> None:
    assert parse_query(["StudyDate=20240101-", "PatientName=A=B"]) == {"StudyDate": "20240101-", "PatientName": "A=B"}
    assert parse_place("11112") == ("0.0.0.0", 11112)
    assert parse_place("127.0.0.1:104") == ("127.0.0.1", 104)
    assert parse_place("[::1]:104") == ("::1", 104)
    for pairs in (["StudyDate"], ["StudyDate="], ["Nonsense=1"], ["=1"], ["StudyDate=1", "StudyDate=2"]):
        with pytest.raises(OslerError) as caught:
            parse_query(pairs)
        assert caught.value.code is Code.USAGE
    for text in ("", "x", "host:", "0", "70000"):
        with pytest.raises(OslerError):
            parse_place(text)


@pytest.mark.parametrize(
    "words",
    [
        ["dicom://PACS@host:104"],
        ["ftp://host/x"],
        ["http://host/x", "--query", "nonsense"],
        ["/data", "--idle", "5"],
        ["listen://127.0.0.1:11112", "--idle", "-1"],
        ["listen://127.0.0.1:11112", "--until", "none"],
        ["dicom://PACS@host:104", "--move", "--get"],
    ],
)
def test_wrong_usage_makes_no_workspace(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = tmp_path / "workspace"
    assert main(["ingest", *words, "--site", "a", "--workspace", str(workspace), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"
    assert not workspace.exists()


def test_the_command_takes_a_zip(
    file_bytes: Callable[..., bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OSLER_KEY_FILE", str(tmp_path / "key"))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("deep/1.dcm", file_bytes(1))
        archive.writestr("../2.dcm", file_bytes(2))
    (tmp_path / "films.zip").write_bytes(stream.getvalue())
    words = ["ingest", str(tmp_path / "films.zip"), "--site", "a", "--workers", "0", "--json"]
    assert main([*words, "--workspace", str(tmp_path / "workspace")]) == 3
    answer = json.loads(capsys.readouterr().out)
    assert (answer["received"], answer["accepted"], answer["by_reason"]) == (2, 1, {"path-outside": 1})


def test_help_shows_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ingest", "--help"])
    said = capsys.readouterr().out
    for example, what in FORMS:
        assert example in said
        assert what in said
