"""What each kind of entry is called in the audit messages of DICOM (PS3.15 A.5.3): one table, a line a kind.

Events, types and roles are codes of DCM (PS3.16 D); what DICOM has no code for is coded in 99OSLER, with the kind as its
code. An event that DICOM does not define is an Application Activity, and its type says which.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Coded:
    """A code, its coding scheme, and its meaning."""

    code: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Subject:
    """What an entry's subject is: how its identifier is to be read, what sort of thing it is, and its role there.

    `sort` and `role` are values of PS3.15 A.5.1: `1` a person, `2` a system object; the roles of A.5.1.2.2.
    """

    identifier: Coded
    sort: str
    role: str


@dataclass(frozen=True)
class Kind:
    """How a kind of entry is said in a message.

    Attributes:
        meaning: The kind, in words.
        event: The event of DICOM.
        action: `C` create, `R` read, `U` update, `D` delete, `E` execute.
        subject: What the subject is.
        type: What sort of the event it is, where DICOM has a code for it.
        outcome: `0` success, `4` minor failure.
    """

    meaning: str
    event: Coded
    action: str
    subject: Subject
    type: Coded | None = None
    outcome: str = "0"


def _dcm(code: str, meaning: str) -> Coded:
    return Coded(code, "DCM", meaning)


ACTIVITY = _dcm("110100", "Application Activity")
LOG_USED = _dcm("110101", "Audit Log Used")
BEGIN_TRANSFER = _dcm("110102", "Begin Transferring DICOM Instances")
ACCESSED = _dcm("110103", "DICOM Instances Accessed")
TRANSFERRED = _dcm("110104", "DICOM Instances Transferred")
DELETED = _dcm("110105", "DICOM Study Deleted")
EXPORT = _dcm("110106", "Export")
IMPORT = _dcm("110107", "Import")
PATIENT_RECORD = _dcm("110110", "Patient Record")
QUERY = _dcm("110112", "Query")
ALERT = _dcm("110113", "Security Alert")
AUTHENTICATION = _dcm("110114", "User Authentication")

START, STOP = _dcm("110120", "Application Start"), _dcm("110121", "Application Stop")
LOGIN, LOGOUT = _dcm("110122", "Login"), _dcm("110123", "Logout")
SOFTWARE = _dcm("110131", "Software Configuration")
RECORDING = _dcm("110134", "Audit Recording Started")
ATTRIBUTES = _dcm("110137", "User Security Attributes Changed")


def _own(what: str, sort: str = "2", role: str = "13") -> Subject:
    return Subject(Coded(what.lower().replace(" ", "-"), "99OSLER", what), sort, role)


ACCOUNT = Subject(Coded("11", "RFC-3881", "User Identifier"), "1", "11")
PATIENT = Subject(Coded("2", "RFC-3881", "Patient Number"), "1", "1")
STUDY = Subject(_dcm("110180", "Study Instance UID"), "2", "3")
LOG = Subject(Coded("12", "RFC-3881", "URI"), "2", "13")
ARCHIVE, CASE = _own("Archive", role="17"), _own("Case of a reader study", role="3")
BANK, MODEL, PATCH, CALIBRATION = _own("Concept bank"), _own("Model"), _own("Site patch"), _own("Site calibration")
FILE, LIST, READER_STUDY = _own("File", role="3"), _own("Worklist", role="7"), _own("Reader study", role="20")
PROGRAM, TOKEN, OTHER = _own("Program", role="26"), _own("Access token"), _own("Subject")

KINDS = {
    "access.refused": Kind("Sign-in refused", AUTHENTICATION, "E", ACCOUNT, LOGIN, "4"),
    "access.sign-in": Kind("Signed in", AUTHENTICATION, "E", ACCOUNT, LOGIN),
    "access.sign-out": Kind("Signed out", AUTHENTICATION, "E", ACCOUNT, LOGOUT),
    "account.add": Kind("Account added", ALERT, "E", ACCOUNT, ATTRIBUTES),
    "account.change": Kind("Account changed", ALERT, "E", ACCOUNT, ATTRIBUTES),
    "account.remove": Kind("Account removed", ALERT, "E", ACCOUNT, ATTRIBUTES),
    "api.refused": Kind("Access token refused", AUTHENTICATION, "E", TOKEN, LOGIN, "4"),
    "archive.delete": Kind("Deletion of a patient begun", DELETED, "D", PATIENT),
    "archive.deleted": Kind("Patient deleted", DELETED, "D", PATIENT),
    "archive.move-database": Kind("Records moved to a database", ALERT, "E", ARCHIVE, SOFTWARE),
    "archive.retain": Kind("Deletion by age begun", DELETED, "D", ARCHIVE),
    "archive.retained": Kind("Studies deleted by age", DELETED, "D", ARCHIVE),
    "audit.export": Kind("Audit log exported", LOG_USED, "R", LOG),
    "audit.recovered": Kind("Torn end of the audit log set aside", ALERT, "E", LOG, RECORDING, "4"),
    "backup.make": Kind("Backup made", EXPORT, "R", FILE),
    "calibration.make": Kind("Site calibration made", ALERT, "E", CALIBRATION, SOFTWARE),
    "calibration.revoke": Kind("Site calibration revoked", ALERT, "E", CALIBRATION, SOFTWARE),
    "crosswalk.find": Kind("Patient looked up by identifier", PATIENT_RECORD, "R", PATIENT),
    "crosswalk.look-up": Kind("Pseudonym looked up", PATIENT_RECORD, "R", PATIENT),
    "feedback.export": Kind("Labels exported", EXPORT, "R", FILE),
    "knowledge.accept": Kind("Concept accepted", ACTIVITY, "E", BANK),
    "knowledge.codes": Kind("Codes set in a concept bank", ACTIVITY, "E", BANK),
    "knowledge.import": Kind("Concept bank imported", IMPORT, "C", BANK),
    "knowledge.prior": Kind("Prior set in a concept bank", ACTIVITY, "E", BANK),
    "knowledge.propose": Kind("Concept bank proposed", ACTIVITY, "E", BANK),
    "knowledge.retire": Kind("Concept retired", ACTIVITY, "E", BANK),
    "knowledge.reword": Kind("Concept reworded", ACTIVITY, "E", BANK),
    "model.export": Kind("Model exported", EXPORT, "R", MODEL),
    "model.import": Kind("Model imported", IMPORT, "C", MODEL),
    "patch.apply": Kind("Site patch put in force", ALERT, "E", PATCH, SOFTWARE),
    "patch.fit": Kind("Site patch fitted", ACTIVITY, "E", PATCH),
    "patch.revoke": Kind("Site patch revoked", ALERT, "E", PATCH, SOFTWARE),
    "quarantine.discard": Kind("File in quarantine discarded", ACTIVITY, "E", FILE),
    "quarantine.outcome": Kind("Outcome of a release from quarantine", ACTIVITY, "E", FILE),
    "quarantine.release": Kind("File released from quarantine", IMPORT, "C", FILE),
    "reader-study.export": Kind("Reader study exported", EXPORT, "R", READER_STUDY),
    "reader-study.read": Kind("Case of a reader study opened", ACCESSED, "R", CASE),
    "reader-study.results": Kind("Results of a reader study opened", ACTIVITY, "E", READER_STUDY),
    "reader-study.start": Kind("Reader study started", ACTIVITY, "E", READER_STUDY),
    "report.make": Kind("Report made", EXPORT, "R", STUDY),
    "report.send": Kind("Sending of a report begun", BEGIN_TRANSFER, "E", STUDY),
    "report.sent": Kind("Report sent", TRANSFERRED, "C", STUDY),
    "study.answer": Kind("Concept answered", ACCESSED, "U", STUDY),
    "study.list": Kind("Worklist opened", QUERY, "E", LIST),
    "study.sign": Kind("Review signed", ACCESSED, "U", STUDY),
    "study.sign-late": Kind("Review signed after another", ACCESSED, "U", STUDY, outcome="4"),
    "study.view": Kind("Study viewed", ACCESSED, "R", STUDY),
    "study.withdraw": Kind("Review withdrawn", ACCESSED, "U", STUDY),
    "token.issue": Kind("Access token issued", ALERT, "E", TOKEN, ATTRIBUTES),
    "token.revoke": Kind("Access token revoked", ALERT, "E", TOKEN, ATTRIBUTES),
    "watch.retry": Kind("Study set aside tried again", ACTIVITY, "E", STUDY),
    "watch.set-aside": Kind("Study set aside", ACTIVITY, "E", STUDY, outcome="4"),
    "watch.start": Kind("Watch started", ACTIVITY, "E", PROGRAM, START),
    "watch.stop": Kind("Watch stopped", ACTIVITY, "E", PROGRAM, STOP),
}
UNKNOWN = Kind("Entry of another version", ACTIVITY, "E", OTHER)


def kind_of(action: str) -> Kind:
    """Return the kind of an entry's action; a log may hold entries of a version that knew more kinds."""
    return KINDS.get(action, UNKNOWN)
