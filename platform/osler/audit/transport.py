"""Audit messages on their way to an audit repository: syslog (RFC 5424), framed for TLS (RFC 5425), as PS3.15 A.6 has it."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

PORT, TIMEOUT_S = 6514, 30.0
REFUSAL_S = 1.0
AUTHPRIV, NOTICE, WARNING = 10, 5, 4  # facility and severities: PS3.15 A.6 names facility 10
APP, MESSAGE_ID = "osler", "DICOM+RFC3881"
MARK = b"\xef\xbb\xbf"  # RFC 5424, 6.4: text in UTF-8 begins with it
UNPRINTED = re.compile(r"[^\x21-\x7e]")


def framed(message: bytes, time: str, host: str, *, failed: bool = False) -> bytes:
    """Return a message with its syslog header, and with its length before it (RFC 5425, 4.3).

    Args:
        message: The audit message.
        time: When, ISO 8601 with its zone; a log that somebody changed may hold another text, which is left out.
        host: The machine's name.
        failed: Whether it tells of a failure, which is a warning and not a notice.
    """
    priority = AUTHPRIV * 8 + (WARNING if failed else NOTICE)
    name = UNPRINTED.sub("?", host)[:255] or "-"
    line = f"<{priority}>1 {_stamp(time)} {name} {APP} - {MESSAGE_ID} - ".encode("ascii") + MARK + message
    return b"%d %b" % (len(line), line)


def _stamp(time: str) -> str:
    """Return a time as the header has it: `-` where there is none (RFC 5424, 6.2.3)."""
    try:
        return time if datetime.fromisoformat(time).tzinfo and time.isascii() else "-"
    except ValueError:
        return "-"


@dataclass(frozen=True)
class Address:
    """An audit repository.

    Attributes:
        host: Its name, which its certificate must have.
        port: Its port.
        authority: Certificates to trust in the place of the system's, None for those.
        identity: Certificate and key of ours in one PEM file, None where it does not ask for one.
    """

    host: str
    port: int
    authority: Path | None = None
    identity: Path | None = None

    @classmethod
    def parse(cls, text: str, authority: Path | None = None, identity: Path | None = None) -> Self:
        """Return the repository of an address such as `syslog+tls://audit.hospital.example:6514`.

        Raises:
            OslerError: `usage`.
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port or PORT
        except ValueError:
            parts, host, port = urlsplit(""), None, PORT
        if parts.scheme != "syslog+tls" or not host or parts.path.strip("/") or parts.username or parts.query:
            raise OslerError(
                Code.USAGE, "The address of the audit repository cannot be read.", "Write syslog+tls://HOST:PORT."
            )
        return cls(host, port, authority, identity)


@dataclass(frozen=True)
class Sent:
    """How sending ended: the messages that left, and whether the repository confirmed the end of the connection."""

    messages: int
    confirmed: bool


def send(frames: Iterable[bytes], to: Address) -> Sent:
    """Send frames over one connection. Syslog answers no message; a confirmed end shows that all were read.

    Raises:
        OslerError: `login-invalid` where a file of the address cannot be used; `server-unreachable` where there is no
            connection, its certificate is not trusted, or it breaks off.
    """
    context, count = _context(to), 0
    try:
        with (
            socket.create_connection((to.host, to.port), timeout=TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=to.host) as link,
        ):
            for frame in frames:
                link.sendall(frame)
                count += 1
            return Sent(count, _confirmed(link))
    except OSError as error:
        why = (
            getattr(error, "verify_message", "")
            or getattr(error, "reason", "")
            or error.strerror
            or type(error).__name__
        )
        raise OslerError(
            Code.SERVER_UNREACHABLE,
            f"The audit repository {to.host}:{to.port} was not reached, or broke off after {count} messages: {why}.",
            "Check its address and its certificate, and send the same again: a message that comes twice has one osler.number.",
        ) from None


def _context(to: Address) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=to.authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if to.identity is not None:
            context.load_cert_chain(to.identity)
    except OSError:
        raise OslerError(
            Code.LOGIN_INVALID,
            "A certificate or key for TLS cannot be used.",
            "Check that the files of --ca and --identity are in PEM format, and that the latter holds both.",
        ) from None
    return context


def _confirmed(link: ssl.SSLSocket) -> bool:
    """Say that nothing more comes, and return whether the other side said so too: it has read everything then."""
    # In TLS 1.3 our certificate is refused after the handshake, and `unwrap` may pass over that alert: it is waited for.
    link.settimeout(REFUSAL_S)
    try:
        link.recv(1)
    except TimeoutError:
        link.settimeout(TIMEOUT_S)
    else:
        return False  # a repository says nothing: it has gone
    try:
        link.unwrap()
    except (ssl.SSLEOFError, ssl.SSLSyscallError, TimeoutError):
        return False  # RFC 5425, 4.4: it may close without a word
    return True
