"""Where a report can be sent: what a receiver must be able to do, and which one an address stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from osler.report.service import ObjectName, Report
from osler.sources.address import Kind, parse_address
from osler.sources.web_client import Patience
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


@dataclass(frozen=True)
class ReceiverOptions:
    """How to talk to a receiver; each kind takes what concerns it.

    Attributes:
        login_file: File in the format of `netrc`: DICOMweb.
        ca: Certificates to trust.
        title: Own AE title: PACS.
        tls: Whether associations use TLS: PACS.
        certificate: Own certificate for TLS: PACS.
        private_key: Its key.
        patience: Timeouts and attempts.
    """

    login_file: Path | None = None
    ca: Path | None = None
    title: str = "OSLER"
    tls: bool = False
    certificate: Path | None = None
    private_key: Path | None = None
    patience: Patience = field(default_factory=Patience)


class Receiver(Protocol):
    """A PACS."""

    @property
    def name(self) -> str:
        """Its address, by which what it got is noted."""

    def has(self, uids: ObjectName) -> bool:
        """Return whether it lists an object.

        Raises:
            OslerError: As the service fails.
        """

    def holds(self, report: Report) -> bool:
        """Return whether it has an object, and has it as it is here where it can be asked for that.

        Raises:
            OslerError: `source-refused` where it has another one under the same UID, and as the services fail.
        """

    def store(self, reports: Sequence[Report]) -> None:
        """Have objects of one study stored; in one transaction where the service has any.

        Raises:
            OslerError: `source-refused` where one is not taken, and as the service fails.
        """


def open_receiver(address: str, options: ReceiverOptions) -> Receiver:
    """Return the receiver that an address stands for; nothing is sent yet.

    Raises:
        OslerError: `usage` for what is neither DICOMweb nor a PACS; `login-invalid`.
    """
    parsed = parse_address(address)
    if parsed.kind is Kind.WEB:
        from osler.report.stow import WebReceiver

        return WebReceiver(address, options)
    if parsed.kind is Kind.PACS:
        from osler.report.cstore import PacsReceiver

        return PacsReceiver(parsed, options)
    raise OslerError(
        Code.USAGE,
        "Reports are sent to a DICOMweb server or to a PACS.",
        "Write --to https://HOST/dicom-web or --to dicom://TITLE@HOST:PORT; `osler report make` writes files.",
    )
