"""What every conversation with a classic PACS needs (PS3.7, PS3.8): titles, transfer syntaxes, TLS, associations."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydicom.uid import AllTransferSyntaxes, ExplicitVRBigEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.association import Association
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from osler.dicom.decoders import has_decoder
from osler.sources.web_client import Patience
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

OWN_TITLE = "OSLER"
# Larger than pynetdicom's 16 KiB: a quarter of the time for an image on loopback.
MOST_PDU = 1 << 17
MOST_ASSOCIATIONS = 8
STORAGE_CLASSES = tuple(sorted(str(context.abstract_syntax) for context in AllStoragePresentationContexts))


@dataclass(frozen=True)
class Tls:
    """TLS of an association (PS3.15 B.12).

    Attributes:
        ca: Certificates to trust; the system's where it is left out.
        certificate: Own certificate; needed wherever others call here.
        key: Its private key.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def client(self) -> ssl.SSLContext:
        """Return what to call with; the peer's certificate and name are always verified.

        Raises:
            OslerError: `login-invalid` where a file cannot be used.
        """
        with _usable():
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
            return context

    def server(self) -> ssl.SSLContext:
        """Return what to be called with; callers must show a certificate of `ca` where that is given.

        Raises:
            OslerError: `login-invalid` where there is no certificate or a file cannot be used.
        """
        if self.certificate is None:
            raise OslerError(
                Code.LOGIN_INVALID,
                "To be called with TLS, a certificate is needed.",
                "Give --certificate and --private-key.",
            )
        with _usable():
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca)
            context.load_cert_chain(self.certificate, self.key)
            if self.ca:
                context.verify_mode = ssl.CERT_REQUIRED
            return context


@contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except (OSError, ssl.SSLError):
        raise OslerError(
            Code.LOGIN_INVALID,
            "A certificate or key for TLS cannot be used.",
            "Check that the files of --ca, --certificate and --private-key are in PEM format and belong together.",
        ) from None


def check_title(title: str) -> str:
    """Return an application entity title if it is one (PS3.5 6.2, VR AE).

    Raises:
        OslerError: `usage`.
    """
    if not re.fullmatch(r"[\x20-\x5b\x5d-\x7e]{1,16}", title) or not title.strip():
        raise OslerError(
            Code.USAGE,
            "An AE title has 1 to 16 printable characters and no backslash.",
            "Ask the PACS administrator for the titles.",
        )
    return title.strip()


@cache
def decodable_syntaxes() -> tuple[str, ...]:
    """Return the transfer syntaxes that can be decoded here: the only ones to propose or to accept.

    The two that say least of themselves come last: a peer that may choose takes the first that it knows.
    """
    last = (ImplicitVRLittleEndian, ExplicitVRBigEndian)
    found = [str(uid) for uid in AllTransferSyntaxes if uid not in last and has_decoder(uid)]
    return (*found, *map(str, last))


def new_entity(title: str, patience: Patience) -> AE:
    """Return an application entity under our title, with timeouts in place of pynetdicom's."""
    # Identifiers of requests name patients, and nobody reads pynetdicom's log here.
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.LOG_HANDLER_LEVEL = "none"
    entity = AE(title)
    entity.connection_timeout = min(patience.timeout_s, 10)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = patience.timeout_s
    entity.maximum_pdu_size = MOST_PDU
    return entity


def serve(
    address: tuple[str, int],
    title: str,
    *,
    callers: Sequence[str],
    tls: Tls | None,
    patience: Patience,
    handlers: Sequence[EventHandlerType],
) -> ThreadedAssociationServer:
    """Begin to accept C-STORE of every storage class in what can be decoded, and to answer C-ECHO.

    Args:
        address: Host and port.
        title: Own AE title; who calls another is rejected.
        callers: Titles that may call; all where it is empty.
        tls: TLS, None for plain DICOM.
        patience: Timeouts.
        handlers: Handlers of events, among them of `evt.EVT_C_STORE`.

    Raises:
        OslerError: `address-occupied`, `login-invalid`.
    """
    entity = new_entity(title, patience)
    for storage in STORAGE_CLASSES:
        entity.add_supported_context(storage, list(decodable_syntaxes()))
    entity.add_supported_context(Verification)
    entity.maximum_associations = MOST_ASSOCIATIONS
    entity.require_called_aet = True
    entity.require_calling_aet = list(callers)
    context = tls.server() if tls else None
    try:
        server = entity.start_server(
            address, block=False, ssl_context=context, evt_handlers=[(evt.EVT_CONN_OPEN, send_at_once), *handlers]
        )
    except OSError as error:
        raise OslerError(
            Code.ADDRESS_OCCUPIED,
            f"Nothing can listen at this address and port ({error.strerror or type(error).__name__}).",
            "Name a free port, above 1024 for ordinary users, and an address of this machine.",
        ) from None
    assert server is not None  # it is None for blocking ones
    return server


@dataclass(frozen=True)
class Peer:
    """The PACS: its address and title, and how to call it."""

    host: str
    port: int
    title: str
    own_title: str
    tls: Tls | None
    patience: Patience

    def associate(
        self,
        contexts: Sequence[PresentationContext],
        roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
        handlers: Sequence[EventHandlerType] = (),
    ) -> Association:
        """Return an association, tried again while the peer cannot be reached.

        Raises:
            OslerError: `source-unreachable`, `source-refused` or `source-untrusted`.
        """
        entity = new_entity(self.own_title, self.patience)
        tls = (self.tls.client(), self.host) if self.tls else None
        for attempt in range(self.patience.tries):
            if attempt:
                time.sleep(self.patience.pause_s * 2 ** (attempt - 1))
            association = entity.associate(
                self.host,
                self.port,
                contexts=list(contexts),
                ae_title=self.title,
                max_pdu=MOST_PDU,
                ext_neg=list(roles) or None,
                tls_args=tls,
                evt_handlers=[(evt.EVT_CONN_OPEN, send_at_once), *handlers],
            )
            if association.is_established:
                return association
            if association.rejected_contexts:
                raise unsupported()
            if association.is_rejected:
                raise OslerError(
                    Code.SOURCE_REFUSED,
                    "The PACS rejects the association.",
                    f"Check its AE title, and that it knows {self.own_title} as a caller.",
                )
        raise OslerError(
            Code.SOURCE_UNREACHABLE,
            "The PACS cannot be reached, or does not answer in time.",
            "Check host, port, TLS and network, and run the same command again: what was finished is kept.",
        )


def send_at_once(event: Event) -> None:
    """Switch Nagle's algorithm off for a connection: a message goes out in two packets, and the second would wait
    some 40 ms for the first to be acknowledged.
    """
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def unsupported() -> OslerError:
    """Return what to tell where the PACS has no presentation context for what we want."""
    return OslerError(
        Code.SOURCE_REFUSED,
        "The PACS does not offer this service to us.",
        "Ask its administrator for C-FIND with C-MOVE or C-GET in the study root model.",
    )
