"""From an address with its options to the source behind it; a kind's libraries are imported when it is asked for."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from osler.ingest.source import Source
from osler.sources.address import Address, Kind, parse_address
from osler.workspace import Workspace
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

if TYPE_CHECKING:
    from osler.sources.dimse import Tls


@dataclass(frozen=True)
class SourceOptions:
    """Options of all kinds of source; each kind takes what concerns it, and refuses what does not.

    Attributes:
        query: Filters of the study level by keyword: DICOMweb and PACS.
        refetch: Fetch what an earlier run has settled again: DICOMweb and PACS.
        login_file: File in the format of `netrc`: DICOMweb.
        ca: Certificates to trust: DICOMweb, and PACS and listener with TLS.
        page: Results asked for at a time: DICOMweb.
        retrieve: `move` or `get`: PACS.
        title: Own AE title: PACS.
        receive: Address and port at which C-MOVE is received.
        tls: Whether associations use TLS.
        certificate: Own certificate for TLS.
        private_key: Its key.
        callers: AE titles that may send: listener.
        idle_s: Seconds without traffic after which the listener stops.
        until: Number of objects after which the listener stops.
    """

    query: Mapping[str, str] = field(default_factory=dict)
    refetch: bool = False
    login_file: Path | None = None
    ca: Path | None = None
    page: int | None = None
    retrieve: str | None = None
    title: str | None = None
    receive: tuple[str, int] | None = None
    tls: bool = False
    certificate: Path | None = None
    private_key: Path | None = None
    callers: Sequence[str] = ()
    idle_s: float | None = None
    until: int | None = None


_PULLED = {"query", "refetch"}
_TLS = {"tls", "ca", "certificate", "private_key"}
_TAKEN: dict[Kind, set[str]] = {
    Kind.PATH: set(),
    Kind.WEB: {*_PULLED, "login_file", "ca", "page"},
    Kind.PACS: {*_PULLED, *_TLS, "retrieve", "title", "receive"},
    Kind.LISTENER: {*_TLS, "callers", "idle_s", "until"},
}


def open_source(text: str, *, workspace: Workspace, site: str, key: bytes, options: SourceOptions) -> Path | Source:
    """Return what `ingest` reads from; a folder or a plain file stays a path.

    Args:
        text: SOURCE as on the command line.
        workspace: Where sources spool, and keep their journal.
        site: Site of the files.
        key: Key of the pseudonyms, which the journal uses.
        options: Options of all kinds.

    Raises:
        OslerError: `usage` for an address or an option that makes no sense; `login-invalid`.
    """
    address = check_options(text, options)
    if address.kind is Kind.WEB:
        return _web(address, workspace, key, options)
    if address.kind is Kind.PACS:
        return _pacs(address, workspace, key, options)
    if address.kind is Kind.LISTENER:
        return _listener(address, workspace, site, options)
    return _path(Path(text), workspace)


def check_options(text: str, options: SourceOptions) -> Address:
    """Return a source's address if its options make sense for it.

    Raises:
        OslerError: `usage`.
    """
    address = parse_address(text)
    _check_kind(address.kind, options)
    if address.kind is Kind.PACS and options.retrieve not in ("move", "get"):
        raise OslerError(Code.USAGE, "A PACS needs --move or --get.", "See `osler ingest --help`.")
    if options.retrieve == "get" and options.receive:
        raise OslerError(Code.USAGE, "--receive is for --move: with --get nobody calls us.", "Leave it out.")
    if address.kind is Kind.LISTENER and not options.callers and not _is_loopback(address.host):
        raise OslerError(
            Code.USAGE,
            "A listener that other machines can reach must say who may send.",
            "Name each sender's AE title with --caller.",
        )
    return address


def _check_kind(kind: Kind, options: SourceOptions) -> None:
    given = {name for name, value in vars(options).items() if value}
    if odd := sorted(given - _TAKEN[kind]):
        words = ", ".join(_SPELLED.get(name, f"--{name.replace('_', '-')}") for name in odd)
        raise OslerError(Code.USAGE, f"{words}: not for this kind of source.", "See `osler ingest --help`.")
    if not options.tls and (options.certificate or options.private_key or (options.ca and kind is not Kind.WEB)):
        raise OslerError(Code.USAGE, "Certificates are given, but not --tls.", "Add --tls.")


_SPELLED = {"retrieve": "--move or --get", "callers": "--caller", "idle_s": "--idle"}


def _path(path: Path, workspace: Workspace) -> Path | Source:
    if not path.is_file():
        return path
    if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        from osler.sources.zipped import ZipSource

        return ZipSource(path, workspace)
    from osler.sources.dicomdir import DicomdirSource, is_dicomdir

    return DicomdirSource(path) if is_dicomdir(path) else path


def _web(address: Address, workspace: Workspace, key: bytes, options: SourceOptions) -> Source:
    from osler.sources.dicomweb import PAGE, DicomwebSource, WebOptions

    web = WebOptions(
        query=options.query,
        login_file=options.login_file,
        ca=options.ca,
        page=options.page or PAGE,
        refetch=options.refetch,
    )
    return DicomwebSource(address.text, workspace, key, web)


def _pacs(address: Address, workspace: Workspace, key: bytes, options: SourceOptions) -> Source:
    from osler.sources.dimse import OWN_TITLE, check_title
    from osler.sources.pacs import PacsOptions, PacsSource

    pacs = PacsOptions(
        get=options.retrieve == "get",
        own_title=check_title(options.title or OWN_TITLE),
        receive=options.receive or PacsOptions.receive,
        query=options.query,
        tls=_tls(options),
        refetch=options.refetch,
    )
    return PacsSource(address.host, address.port, check_title(address.title), workspace, key, pacs)


def _listener(address: Address, workspace: Workspace, site: str, options: SourceOptions) -> Source:
    from osler.sources.dimse import OWN_TITLE, check_title
    from osler.sources.listener import ListenerSource, ListenOptions

    listen = ListenOptions(
        title=check_title(address.title or OWN_TITLE),
        callers=[check_title(title) for title in options.callers],
        idle_s=options.idle_s,
        until=options.until,
        tls=_tls(options),
    )
    return ListenerSource(address.host, address.port, workspace, site, listen)


def _tls(options: SourceOptions) -> Tls | None:
    from osler.sources.dimse import Tls

    return Tls(options.ca, options.certificate, options.private_key) if options.tls else None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
