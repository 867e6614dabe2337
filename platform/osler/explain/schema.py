"""The JSON schema of an explanation, and the reader that holds records to it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from osler.explain.explanation import SCHEMA, Explanation
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

SHIPPED = "explanation.schema.json"  # written from `json_schema`, so that other programs can check a record


@cache
def _adapter() -> TypeAdapter[Explanation]:
    return TypeAdapter(Explanation)


def json_schema() -> dict[str, Any]:
    """Return the schema of an explanation (JSON Schema, draft 2020-12); no field but those that it names is allowed."""
    schema = _adapter().json_schema()
    for one in (schema, *schema["$defs"].values()):
        one["additionalProperties"] = False
        one["required"] = list(one["properties"])  # a record names every field, null where there is nothing
        for held in one["properties"].values():
            held.pop("default", None)
    schema["properties"] = {"schema": {"const": SCHEMA}, **schema["properties"]}
    schema["required"] = ["schema", *schema["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Osler explanation", **schema}


def read_explanation(text: str) -> Explanation:
    """Read an explanation from JSON.

    Raises:
        OslerError: `usage` where the text is none.
    """
    try:
        record = json.loads(text)
        if record.pop("schema") != SCHEMA:
            raise ValueError("another schema")
        return _adapter().validate_json(json.dumps(record))
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise OslerError(
            Code.USAGE,
            f"The text is no explanation of schema {SCHEMA} ({type(error).__name__}).",
            "Make it again with `osler explain`.",
        ) from error
