"""Who a token is of, and what its holder may do: the first thing that a new program asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from osler.access import Action
from osler.access.roles import Role
from osler.api.described import failures, with_example
from osler.api.guard import Caller, needs

router = APIRouter(prefix="/v1", tags=["holder"])


class Holder(BaseModel):
    """The holder of a token."""

    model_config = with_example(
        {
            "name": "Dr Baum",
            "token": "1f0c3b5a7d9e",
            "program": False,
            "roles": ["clinician"],
            "may": ["see studies", "sign a study off"],
            "expires": "2026-06-01T08:00:00+00:00",
        }
    )

    name: str = Field(description="As the audit log says it")
    token: str = Field(description="Name of the token, by which it is revoked")
    program: bool = Field(description="Whether it is of a program without an account")
    roles: list[Role] = Field(description="Roles that hold now")
    may: list[Action] = Field(description="What they allow")
    expires: str = Field(description="When the token ends, ISO 8601 in UTC")


@router.get("/me", responses=failures(), summary="Show whose token this is")
async def me(caller: Annotated[Caller, Depends(needs(None))]) -> Holder:
    """Return the holder of the token."""
    return Holder(
        name=caller.person.name,
        token=caller.token.id,
        program=caller.token.program,
        roles=sorted(caller.person.roles),
        may=[action for action in Action if caller.person.may(action)],
        expires=caller.token.expires,
    )
