"""What a site wants to get out: `report.yaml` in the workspace, every line of it optional."""

from __future__ import annotations

import re
import uuid
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from osler.files import write_atomically
from osler.report.content import MOST_CONCEPTS
from osler.workspace import Workspace
from osler.yaml_settings import read_settings
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError, from_os_error

FILE = "report.yaml"
DEVICE = "device"  # below `reports`
_LARGEST = 1 << 16


class ReportSettings(BaseModel):
    """Settings of a site.

    Attributes:
        presentation: What goes beside the SR: nothing, a presentation state, or a secondary capture for viewers that show
            neither SR nor presentation states.
        model: Name of the model whose reports go out; where it is left out, the only one of the workspace.
        concepts: Most concepts of a report.
        institution: Name of the institution in the objects.
        organization: Organisation of those who sign, where their account names none.
        title: Own AE title towards a PACS.
        device_uid: UID of this installation; where it is left out, one is made and kept.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    presentation: Literal["none", "gsps", "sc"] = "none"
    model: str | None = None
    concepts: int = Field(default=MOST_CONCEPTS, ge=1, le=MOST_CONCEPTS)
    institution: str | None = Field(default=None, max_length=64)
    organization: str = Field(default="", max_length=64)
    title: str = Field(default="OSLER", max_length=16)
    device_uid: str | None = None

    @field_validator("institution", "organization")
    @classmethod
    def _printable(cls, value: str | None) -> str | None:
        if value and (not value.isprintable() or "\\" in value):
            raise ValueError("is not a line without backslashes")
        return value

    @field_validator("device_uid")
    @classmethod
    def _uid(cls, value: str | None) -> str | None:
        if value is not None and not _is_uid(value):
            raise ValueError("is no UID")
        return value


def load_settings(workspace: Workspace) -> ReportSettings:
    """Read `report.yaml`; the defaults where there is none.

    Raises:
        OslerError: `usage` where the file says what nobody understands.
    """
    path = workspace.root / FILE
    if not path.is_file():
        return ReportSettings()
    return read_settings(path, ReportSettings, _invalid, largest=_LARGEST)


def device_uid(workspace: Workspace, settings: ReportSettings) -> str:
    """Return the UID of this installation, made once and kept in the workspace.

    Raises:
        OslerError: `workspace-invalid` where what was kept is no UID: another one would give every report another name.
    """
    if settings.device_uid is not None:
        return settings.device_uid
    path = workspace.reports / DEVICE
    try:
        if not path.is_file():
            write_atomically(path, f"2.25.{uuid.uuid4().int}\n".encode())
        kept = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise from_os_error(error) from None
    if not _is_uid(kept):
        raise OslerError(
            Code.WORKSPACE_INVALID,
            f"{path.parent.name}/{DEVICE} holds no UID of this installation.",
            f"Restore it from a copy, or name the UID as `device_uid:` in {FILE}.",
        )
    return kept


def _is_uid(text: str) -> bool:
    return len(text) <= 64 and re.fullmatch(r"[0-2](\.(0|[1-9][0-9]*))+", text) is not None


def _invalid(what: str) -> OslerError:
    return OslerError(
        Code.USAGE,
        f"The settings of reports in {FILE} cannot be used: {what}.",
        "Known lines are presentation, model, concepts, institution, organization, title and device_uid; see "
        "docs/results-out.md.",
    )
