"""An entry of the audit log as an audit message of DICOM (PS3.15 A.5.1, the successor of RFC 3881)."""

from __future__ import annotations

from base64 import b64encode
from xml.etree.ElementTree import Element, SubElement, tostring

from osler.audit import kinds
from osler.audit.entry import Entry
from osler.audit.kinds import Coded, Kind, kind_of

APPLICATION = Coded("110150", "DCM", "Application")
DESTINATION, SOURCE = Coded("110152", "DCM", "Destination Role ID"), Coded("110153", "DCM", "Source Role ID")
TO_MEDIA, FROM_MEDIA = Coded("110154", "DCM", "Destination Media"), Coded("110155", "DCM", "Source Media")
ADDRESS = Coded("110037", "DCM", "URI")  # the medium: a file, wherever it lies
SERVER = "4"  # Audit Source Type Code: application server
LIFE = {"C": "1", "R": "6", "U": "3", "D": "15", "E": "6"}  # A.5.1.2.3, of an action
MOVED = {kinds.EXPORT: "10", kinds.IMPORT: "2", kinds.BEGIN_TRANSFER: "10", kinds.TRANSFERRED: "10"}


def message_of(entry: Entry, source: str, site: str = "") -> bytes:
    """Return an entry as a message: UTF-8, one line, no XML declaration.

    Nothing of the entry is left out: its details, its number and its hash go along with the subject, so that the message
    can be found in the log. Nothing is added about a patient: the log names pseudonyms and hashes alone.

    Args:
        entry: The entry.
        source: Names the installation: the Audit Source ID.
        site: Names the hospital: the Audit Enterprise Site ID; empty for none.
    """
    kind = kind_of(entry.action)
    root = Element("AuditMessage")
    event = SubElement(
        root,
        "EventIdentification",
        EventActionCode=kind.action,
        EventDateTime=entry.time,
        EventOutcomeIndicator=kind.outcome,
    )
    _coded(event, "EventID", kind.event)
    if kind.type is not None:
        _coded(event, "EventTypeCode", kind.type)
    _coded(event, "EventTypeCode", Coded(entry.action, "99OSLER", kind.meaning))
    _participants(root, entry, kind)
    told = {"AuditEnterpriseSiteID": _plain(site)} if site else {}
    at = SubElement(root, "AuditSourceIdentification", told, AuditSourceID=_plain(source))
    SubElement(at, "AuditSourceTypeCode", {"csd-code": SERVER})
    _subject(root, entry, kind)
    content: bytes = tostring(root, encoding="utf-8", xml_declaration=False)
    return content.replace(b"\n", b" ")


def _participants(root: Element, entry: Entry, kind: Kind) -> None:
    """Add who acted, what of Osler did it, and where data came from or went to."""
    SubElement(root, "ActiveParticipant", UserID=_plain(entry.actor), UserIsRequestor="true")
    outward = kind.event in (kinds.EXPORT, kinds.BEGIN_TRANSFER, kinds.TRANSFERRED)
    role = SOURCE if outward else DESTINATION if kind.event is kinds.IMPORT else APPLICATION
    osler = SubElement(root, "ActiveParticipant", UserID="osler", UserIsRequestor="false")
    _coded(osler, "RoleIDCode", role)
    if kind.event in (kinds.EXPORT, kinds.IMPORT):
        media = SubElement(root, "ActiveParticipant", UserID="file", UserIsRequestor="false")
        _coded(media, "RoleIDCode", TO_MEDIA if outward else FROM_MEDIA)
        _coded(SubElement(media, "MediaIdentifier"), "MediaType", ADDRESS)
    elif outward:
        receiver = _plain(entry.details.get("to", "")) or "unknown"
        _coded(
            SubElement(root, "ActiveParticipant", UserID=receiver, UserIsRequestor="false"), "RoleIDCode", DESTINATION
        )


def _subject(root: Element, entry: Entry, kind: Kind) -> None:
    """Add the subject, with all else that the entry holds as its details."""
    what = SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_plain(entry.subject),
        ParticipantObjectTypeCode=kind.subject.sort,
        ParticipantObjectTypeCodeRole=kind.subject.role,
        ParticipantObjectDataLifeCycle=MOVED.get(kind.event) or LIFE[kind.action],
    )
    _coded(what, "ParticipantObjectIDTypeCode", kind.subject.identifier)
    name = "Security Audit Log" if kind.subject is kinds.LOG else kind.subject.identifier.meaning
    SubElement(what, "ParticipantObjectName").text = name
    place = {"osler.number": str(entry.number), "osler.sha256": entry.sha256, "osler.previous": entry.previous}
    for name, value in {**place, **entry.details}.items():
        told = b64encode(value.encode("utf-8", "replace")).decode()
        SubElement(what, "ParticipantObjectDetail", type=_plain(name), value=told)


def _coded(parent: Element, name: str, coded: Coded) -> None:
    SubElement(parent, name, {"csd-code": coded.code, "codeSystemName": coded.scheme, "originalText": coded.meaning})


def _plain(text: str) -> str:
    """Return a text that XML can hold: Osler writes no other, a log that somebody changed may."""
    return "".join(one if one.isprintable() else "?" for one in text)
