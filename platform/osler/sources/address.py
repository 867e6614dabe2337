"""What SOURCE on the command line stands for. Light: nothing is opened, and no library of a source is imported."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# As many forms as there are kinds of source, each with an example; `osler ingest --help` prints them.
FORMS = (
    ("/data/films", "a folder, searched at every depth, or a single file"),
    ("/data/films.zip", "a zip, its folders too"),
    ("/media/cd/DICOMDIR", "the images that a DICOMDIR names"),
    ("https://pacs.example/dicom-web", "a DICOMweb server"),
    ("dicom://PACS@pacs.example:104 --move", "a classic PACS; it sends to --receive, where it must know us as --title"),
    ("dicom://PACS@pacs.example:104 --get", "the same over our own association"),
    ("listen://OSLER@0.0.0.0:11112 --caller PACS", "wait for what is sent to us by C-STORE"),
)
_PORTS = range(1, 1 << 16)


class Kind(StrEnum):
    """The kinds of source."""

    PATH = "path"
    WEB = "dicomweb"
    PACS = "pacs"
    LISTENER = "listener"


@dataclass(frozen=True)
class Address:
    """A source, taken apart.

    Attributes:
        kind: What it is.
        text: As it was given: the path, or the URL.
        host: Host of a server, or the address to listen at.
        port: Its port.
        title: AE title: the PACS's, or our own of a listener; empty where none was given.
    """

    kind: Kind
    text: str
    host: str = ""
    port: int = 0
    title: str = ""


def parse_address(text: str) -> Address:
    """Take a SOURCE apart; whatever has no scheme that is known is a path.

    Raises:
        OslerError: `usage` where a URL is malformed, lacks what its scheme needs or holds a password. The message does
            not quote it.
    """
    scheme = text.split("://", 1)[0].lower() if "://" in text else ""
    if scheme in ("http", "https"):
        return _web(text)
    if scheme == "dicom":
        return _dicom(text, Kind.PACS)
    if scheme == "listen":
        return _dicom(text, Kind.LISTENER)
    if re.fullmatch("[a-z][a-z0-9+.-]*", scheme):
        raise _usage(f"A source cannot begin with {scheme}://.")
    return Address(Kind.PATH, text)


def parse_query(pairs: Iterable[str]) -> dict[str, str]:
    """Take the filters KEY=VALUE of --query apart.

    Raises:
        OslerError: `usage` for what is no pair, no keyword of the standard, or given twice.
    """
    from pydicom.datadict import tag_for_keyword

    query: dict[str, str] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if not key or not value or tag_for_keyword(key) is None or key in query:
            raise OslerError(
                Code.USAGE,
                "A filter is a keyword of the DICOM standard, an equals sign and a value, each keyword once.",
                "Write for example --query StudyDate=20240101-20241231 --query ModalitiesInStudy=DX.",
            )
        query[key] = value
    return query


def parse_place(text: str) -> tuple[str, int]:
    """Take HOST:PORT apart, or a PORT alone, which means every address of this machine.

    Raises:
        OslerError: `usage`.
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) not in _PORTS:
        raise OslerError(Code.USAGE, "A place to receive is HOST:PORT or PORT, from 1 to 65535.", "See --help.")
    # Who names no host means every interface, as with other listeners; such a one must name its callers.
    return host.strip("[]") or "0.0.0.0", int(port)  # nosec B104


def _web(text: str) -> Address:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise _usage("The URL is malformed.") from None
    if parts.username is not None or parts.password is not None:
        raise OslerError(
            Code.USAGE,
            "A URL must not hold a user or a password: other users of this machine can read command lines.",
            "Set OSLER_DICOMWEB_USER and OSLER_DICOMWEB_PASSWORD, or give --login-file.",
        )
    if not parts.hostname or parts.query or parts.fragment:
        raise _usage("A DICOMweb URL is http(s)://HOST[:PORT]/PATH and nothing more; filters go into --query.")
    return Address(Kind.WEB, text, parts.hostname, parts.port or 0)


def _dicom(text: str, kind: Kind) -> Address:
    rest = text.split("://", 1)[1].rstrip("/")
    title, at, place = rest.rpartition("@")
    host, _, port = place.rpartition(":")
    wanted = kind is Kind.LISTENER or bool(at and title)
    if not wanted or not host or not port.isascii() or not port.isdigit() or int(port) not in _PORTS:
        form = "dicom://CALLED_TITLE@HOST:PORT" if kind is Kind.PACS else "listen://[OWN_TITLE@]HOST:PORT"
        raise _usage(f"The address is not of the form {form}.")
    return Address(kind, text, host.strip("[]"), int(port), title)


def _usage(message: str) -> OslerError:
    forms = "; ".join(example for example, _ in FORMS)
    return OslerError(Code.USAGE, message, f"A source is one of: {forms}.")
