"""Site patches: what is done differently at each site, by whom and until when; putting them in force and undoing them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from threading import Lock
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from osler.access import Action
from osler.adapt.in_force import model_of, put_in_force, take_out_of_force
from osler.adapt.patch import SitePatch
from osler.adapt.store import PatchStore
from osler.adapt.words import status_of
from osler.api.described import failures, with_example
from osler.api.guard import Caller, Server, needs
from osler.api.held import Held
from osler.api.studies import Limit, Offset, Site
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

ID = r"^[0-9a-f]{12}$"

router = APIRouter(prefix="/v1", tags=["patches"])
PatchId = Annotated[str, Path(pattern=ID, description="Name of a patch", examples=["0ec2f3cfd2ae"])]
MaySee = Annotated[Caller, Depends(needs(Action.VIEW_SITE))]
MaySwitch = Annotated[Caller, Depends(needs(Action.SWITCH_PATCH))]
_switching = Lock()  # of two that are put in force at once the later one must see the earlier


class Guarded(BaseModel):
    """What one guard measured without and with the patch."""

    name: str
    passed: bool
    before: float | None
    after: float | None
    sentence: str


class Change(BaseModel):
    """One change of a patch's status."""

    day: str
    status: str
    note: str


class PatchOut(BaseModel):
    """A site patch."""

    model_config = with_example(
        {
            "id": "0ec2f3cfd2ae",
            "site": "hospital_a",
            "status": "proposed",
            "said": "proposed, not in force",
            "created": "2026-03-01",
            "expires": "2026-08-28",
            "author": "Site engineer",
            "adapter": "masking",
            "model": "4b7d",
            "model_name": "bottleneck_prior",
            "bank": "9f01",
            "reason": "One concept is not recognised at this site.",
            "kinds": ["scorer"],
            "masked": ["support_device"],
            "amplified": [],
            "edits": ["masked *support device*: it follows the scanner, not the patient"],
            "shots": {"heart_failure": 4, "normal": 4},
            "guards": [],
            "history": [],
        }
    )

    id: str
    site: str = Field(description="The one site where it holds")
    status: str = Field(description="`proposed`, `active` or `revoked`")
    said: str = Field(description="The same today, in words; an active one may have expired")
    created: str = Field(description="ISO date")
    expires: str | None = Field(description="ISO date of its last day")
    author: str
    adapter: str
    model: str = Field(description="Digest of the model that it was fitted to")
    model_name: str | None = Field(description="Name of that model, None where the workspace has none such")
    bank: str = Field(description="Digest of that model's concept bank")
    reason: str
    kinds: list[str] = Field(description="What it changes, of `preprocessing`, `scorer` and `head`")
    masked: list[str] = Field(description="Concepts that are ignored at the site")
    amplified: list[str] = Field(description="Concepts that weigh more there")
    edits: list[str] = Field(description="A sentence for each change")
    shots: dict[str, int] = Field(description="Support studies by class")
    guards: list[Guarded]
    history: list[Change]


class PatchPage(BaseModel):
    """A page of patches, by site, date and name."""

    items: list[PatchOut]
    total: int = Field(description="How many there are in all pages")
    limit: int
    offset: int
    unreadable: dict[str, str] = Field(description="Why some files of patches cannot be read, by file name")


class Differences(BaseModel):
    """What differs from one patch to another; none where the two do the same."""

    differences: list[str]


class Reason(BaseModel):
    """Why a patch is put in force or taken out of it; it stays in its history and in the audit log."""

    model_config = with_example({"note": "Reviewed with the radiologists on Monday."}, extra="forbid")

    note: str = Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")


@router.get("/patches", responses=failures(), summary="List patches")
def list_patches(server: Server, caller: MaySee, site: Site = None, limit: Limit = 50, offset: Offset = 0) -> PatchPage:
    """Return patches, those out of force too."""
    found, unreadable = PatchStore(server.workspace.patches).read()
    own = [one for one in found if site in (None, one.site)]
    page = own[offset : offset + limit]
    # The models are looked through once for each that a patch of the page names.
    models = {digest: model_of(server.workspace, one) for digest, one in {one.model: one for one in page}.items()}
    return PatchPage(
        items=[_out(one, models[one.model]) for one in page],
        total=len(own),
        limit=limit,
        offset=offset,
        unreadable={name: error.message for name, error in unreadable.items()},
    )


@router.get("/patches/{patch}", responses=failures(404), summary="Show a patch")
def show_patch(server: Server, caller: MaySee, patch: PatchId) -> PatchOut:
    """Return one patch."""
    found = _get(server, patch)
    return _out(found, model_of(server.workspace, found))


@router.get("/patches/{patch}/diff", responses=failures(404), summary="Compare two patches")
def compare(
    server: Server,
    caller: MaySee,
    patch: PatchId,
    other: Annotated[str, Query(pattern=ID, description="Name of the other patch", examples=["77b0c1d2e3f4"])],
) -> Differences:
    """Return what differs from one patch to the other, a line each."""
    return Differences(differences=_get(server, patch).diff(_get(server, other)))


@router.post("/patches/{patch}/apply", responses=failures(404, 409), summary="Put a patch in force")
def apply_patch(server: Server, caller: MaySwitch, patch: PatchId, body: Reason) -> PatchOut:
    """Put a patch in force at its site; the one that was in force there for its model is revoked."""
    return _switch(server, caller, patch, body, put_in_force)


@router.post("/patches/{patch}/revoke", responses=failures(404, 409), summary="Take a patch out of force")
def revoke_patch(server: Server, caller: MaySwitch, patch: PatchId, body: Reason) -> PatchOut:
    """Take a patch out of force, or decline a proposed one; it is kept, and may be put in force again."""
    return _switch(server, caller, patch, body, take_out_of_force)


def _switch(server: Held, caller: Caller, patch: str, body: Reason, change: Callable[..., SitePatch]) -> PatchOut:
    name, today = caller.person.name, date.today().isoformat()
    note = "".join(sign if sign.isprintable() else "\ufffd" for sign in body.note)  # the audit log is a line each
    with _switching:
        held = _get(server, patch)
        made = change(server.workspace, held, on=today, actor=name, note=f"{name}: {note}")
    return _out(made, model_of(server.workspace, made))


def _get(server: Held, name: str) -> SitePatch:
    for one in PatchStore(server.workspace.patches).read()[0]:
        if one.id == name:
            return one
    raise OslerError(Code.UNKNOWN_PATCH, "There is no such patch.", "List the patches to see those there are.")


def _out(one: SitePatch, model_name: str | None) -> PatchOut:
    return PatchOut(
        id=one.id,
        site=one.site,
        status=one.status,
        said=status_of(one),
        created=one.created,
        expires=one.expires,
        author=one.author,
        adapter=one.adapter,
        model=one.model,
        model_name=model_name,
        bank=one.bank,
        reason=one.reason,
        kinds=list(one.kinds),
        masked=list(one.masked),
        amplified=list(one.amplified),
        edits=list(one.edits),
        shots=dict(one.shots),
        guards=[Guarded.model_validate(each, from_attributes=True) for each in one.guards],
        history=[Change(day=day, status=status, note=note) for day, status, note in one.history],
    )
