"""TLS on either kind of connection: what is not trusted is not spoken to, and nothing switches that off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from tests.platform.tls import Identity, make_identity

from osler.ingest.source import Source
from osler.sources.dicomweb import DicomwebSource, WebOptions
from osler.sources.dimse import Tls
from osler.sources.pacs import PacsOptions, PacsSource
from osler.sources.web_client import Patience
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

from .pacs_server import TITLE, PacsServer, as_stored
from .test_pacs_source import free_port
from .web_server import WebServer

Take = Callable[[Source], list[tuple[bytes | None, str]]]
KEY = b"k" * 32
PATIENCE = Patience(tries=1, pause_s=0.001, timeout_s=5)


@pytest.fixture
def identities(tmp_path: Path) -> tuple[Identity, Identity]:
    return make_identity(tmp_path, "server"), make_identity(tmp_path, "other")


@pytest.fixture
def server(identities: tuple[Identity, Identity]) -> Iterator[WebServer]:
    running = WebServer({("1.2.1", "1.3.1", "1.4.1"): b"content"})
    running._server.socket = identities[0].server().wrap_socket(running._server.socket, server_side=True)
    yield running
    running.close()


def web(server: WebServer, workspace: Workspace, ca: Path | None) -> DicomwebSource:
    address = server.address.replace("http://", "https://")
    return DicomwebSource(address, workspace, KEY, WebOptions(ca=ca, patience=PATIENCE))


def test_https_with_its_own_authority(
    server: WebServer,
    workspace: Workspace,
    identities: tuple[Identity, Identity],
    take: Take,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, other = identities
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.certificate))  # what is given counts more
    assert take(web(server, workspace, own.certificate)) == [(b"content", "")]


@pytest.mark.parametrize("given", [True, False])
def test_https_that_is_not_trusted(
    server: WebServer, workspace: Workspace, identities: tuple[Identity, Identity], given: bool
) -> None:
    with pytest.raises(OslerError) as caught, web(server, workspace, identities[1].certificate if given else None):
        pass
    assert caught.value.code is Code.SOURCE_UNTRUSTED


@pytest.mark.parametrize("get", [True, False])
def test_pacs_over_tls(
    get: bool,
    workspace: Workspace,
    identities: tuple[Identity, Identity],
    take: Take,
    make_radiograph: Callable[..., Dataset],
) -> None:
    own, other = identities
    receive = free_port()
    tls = Tls(own.certificate, own.certificate, own.key)
    pacs = PacsServer([as_stored(make_radiograph(1))], receive, ssl_context=own.server(), tls_out=tls.client())
    options = PacsOptions(get=get, receive=("127.0.0.1", receive), tls=tls, patience=PATIENCE)
    assert [code for _, code in take(PacsSource("127.0.0.1", pacs.port, TITLE, workspace, KEY, options))] == [""]
    stranger = PacsOptions(get=True, tls=Tls(other.certificate), patience=PATIENCE)
    with pytest.raises(OslerError) as caught, PacsSource("127.0.0.1", pacs.port, TITLE, workspace, KEY, stranger):
        pass
    assert caught.value.code is Code.SOURCE_UNREACHABLE
    pacs.close()


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no certificate")
    for tls in (Tls(ca=tmp_path / "text"), Tls(certificate=tmp_path / "nowhere")):
        with pytest.raises(OslerError) as caught:
            tls.client()
        assert caught.value.code is Code.LOGIN_INVALID
    with pytest.raises(OslerError) as caught:
        Tls().server()
    assert caught.value.code is Code.LOGIN_INVALID
