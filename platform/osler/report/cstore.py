"""Sending by C-STORE, and asking by C-FIND whether it arrived (PS3.4 B, C)."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as StudyRootFind,
)

from osler.report.receivers import ReceiverOptions
from osler.report.service import ObjectName, Report
from osler.sources.address import Address
from osler.sources.dimse import Peer, Tls, check_title
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

_PENDING = frozenset({0xFF00, 0xFF01})
_SUCCESS, _DUPLICATE = 0x0000, 0x0111
_WARNINGS = range(0xB000, 0xC000)  # stored, with something coerced or left out (PS3.4 B.2.3)
SYNTAXES: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


class PacsReceiver:
    """A classic PACS.

    Args:
        address: Its address.
        options: How to talk to it.
    """

    def __init__(self, address: Address, options: ReceiverOptions) -> None:
        tls = Tls(options.ca, options.certificate, options.private_key) if options.tls else None
        self.name = f"dicom://{address.title}@{address.host}:{address.port}"
        own, called = check_title(options.title), check_title(address.title)
        self._peer = Peer(address.host, address.port, called, own, tls, options.patience)

    def holds(self, report: Report) -> bool:
        """Ask by C-FIND: what it holds under the UID, which is made from the content, nobody can see in this way."""
        return self.has(report.uids)

    def has(self, uids: ObjectName) -> bool:
        """Ask by C-FIND at the level of instances."""
        wanted = Dataset()
        wanted.QueryRetrieveLevel = "IMAGE"
        wanted.StudyInstanceUID = uids.study
        wanted.SeriesInstanceUID = uids.series
        wanted.SOPInstanceUID = uids.instance
        association = self._peer.associate([build_context(StudyRootFind)])
        try:
            answers = list(association.send_c_find(wanted, StudyRootFind))
        except ValueError:
            raise _refused("It offers no C-FIND to us, by which arrival could be verified.") from None
        finally:
            if association.is_established:
                association.release()
        final = answers[-1][0].get("Status") if answers else None
        if final != _SUCCESS:
            raise _failed("It did not answer whether it holds the report.")
        found = [row for status, row in answers if status.get("Status") in _PENDING and row is not None]
        return any(str(row.get("SOPInstanceUID", "")) == uids.instance for row in found)

    def store(self, reports: Sequence[Report]) -> None:
        """Send one after the other over one association, which is refused as a whole where one kind is not taken."""
        classes = sorted({report.sop_class for report in reports})
        association = self._peer.associate([build_context(one, SYNTAXES) for one in classes])
        try:
            accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
            if strangers := [one for one in classes if one not in accepted]:
                raise _refused(f"It does not store {len(strangers)} of {len(classes)} kinds of object.")
            for report in reports:
                status = association.send_c_store(dcmread(BytesIO(report.data))).get("Status")
                if status is None:
                    raise _failed("It broke off while a report was sent.")
                if status not in (_SUCCESS, _DUPLICATE) and status not in _WARNINGS:
                    raise _refused(f"It refuses a report (status 0x{status:04X}).")
        finally:
            if association.is_established:
                association.release()


def _refused(why: str) -> OslerError:
    return OslerError(
        Code.SOURCE_REFUSED,
        f"The PACS does not take the report. {why}",
        "Have its administrator allow C-STORE of Comprehensive 3D SR, and C-FIND, for our AE title.",
    )


def _failed(why: str) -> OslerError:
    return OslerError(
        Code.SOURCE_FAILED,
        f"The PACS failed. {why}",
        "Look into its log, and run the same command again: what it holds is not sent twice.",
    )
