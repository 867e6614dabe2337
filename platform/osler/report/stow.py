"""Sending by STOW-RS, and reading back by WADO-RS (PS3.18 10.5, 10.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from io import BytesIO

from pydicom import dcmread

from osler.report.receivers import ReceiverOptions
from osler.report.same import same_values
from osler.report.service import ObjectName, Report
from osler.sources.login import find_login
from osler.sources.web_client import WebClient
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

_FAILED = "00081198"  # Failed SOP Sequence (PS3.18 I.2)
_REFERENCE, _REASON = "00081155", "00081197"
LARGEST = 64 << 20  # bytes read back: a report is small, and so is a picture of ours


class WebReceiver:
    """A DICOMweb server.

    Args:
        address: URL of the DICOMweb root.
        options: How to talk to it.
    """

    def __init__(self, address: str, options: ReceiverOptions) -> None:
        self.name = address.rstrip("/")
        login = find_login(address, options.login_file)
        self._client = WebClient(self.name, login, options.ca, options.patience)

    def has(self, uids: ObjectName) -> bool:
        """Ask by QIDO-RS."""
        return self._client.has_instance(uids.study, uids.instance)

    def holds(self, report: Report) -> bool:
        """Ask by QIDO-RS, and where it is there, fetch it and compare every value."""
        if not self.has(report.uids):
            return False
        held = self._fetch(report)
        if not same_values(dcmread(BytesIO(report.data)), dcmread(BytesIO(held))):
            raise OslerError(
                Code.SOURCE_REFUSED,
                "The server holds something else under the UID of this report, or changes what it stores.",
                "Ask its administrator whether it coerces headers; nothing more was sent.",
            )
        return True

    def store(self, reports: Sequence[Report]) -> None:
        """Send all in one request, and read the answer's lists.

        Some servers answer 200 where nothing was stored, 409 where they have it already, and some name nothing at all:
        what they do not call failed is for `holds` to find.
        """
        try:
            status, answer = self._client.store([report.data for report in reports])
        except OslerError as error:
            if error.code is Code.SOURCE_REFUSED:
                mend = "Have its administrator allow STOW-RS of Comprehensive 3D SR for this login."
                raise OslerError(error.code, error.message, mend) from None
            raise
        failed = dict(_reasons(answer))
        if failed or status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT):
            reasons = ", ".join(sorted({f"0x{reason:04X}" for reason in failed.values()})) or f"HTTP {status}"
            raise OslerError(
                Code.SOURCE_REFUSED,
                f"The server did not store {len(failed) or len(reports)} of {len(reports)} objects ({reasons}).",
                "Look into its log; what it stored is found again when the same command is run once more.",
            )

    def _fetch(self, report: Report) -> bytes:
        held = BytesIO()

        def write(chunks: Iterator[bytes]) -> None:
            held.seek(0)
            held.truncate()
            for chunk in chunks:
                held.write(chunk)
                if held.tell() > LARGEST:
                    raise OslerError(
                        Code.SOURCE_FAILED, "The server's copy of a report is too large.", "Ask its administrator."
                    )

        self._client.fetch(report.uids.study, report.uids.series, report.uids.instance, write)
        return held.getvalue()


def _reasons(answer: dict[str, object]) -> Iterator[tuple[str, int]]:
    for item in _items(answer, _FAILED):
        reason = _first(item, _REASON)
        yield str(_first(item, _REFERENCE)), reason if isinstance(reason, int) else 0


def _items(answer: dict[str, object], sequence: str) -> list[dict[str, object]]:
    held = answer.get(sequence)
    values = held.get("Value", []) if isinstance(held, dict) else []
    return [one for one in values if isinstance(one, dict)]


def _first(item: dict[str, object], tag: str) -> object:
    held = item.get(tag)
    values = held.get("Value", [""]) if isinstance(held, dict) else [""]
    return values[0] if values else ""
