"""The JSON schema of a bank's file, and the reader that holds files to it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from osler_knowledge.bank import FORMAT, SEAL, ConceptBank
from osler_knowledge.concept import invalid

SHIPPED = "bank.schema.json"  # written from `json_schema`, so that other programs can check a bank


@cache
def _adapter() -> TypeAdapter[ConceptBank]:
    return TypeAdapter(ConceptBank)


def validated(record: Any) -> ConceptBank:
    """Read a bank from JSON objects without its `format`: no type is bent, no unknown field is passed over.

    Raises:
        OslerError: `bank-invalid`, with the first place that fails.
    """
    try:
        return _adapter().validate_json(json.dumps(record))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part)[:60] for part in first["loc"]) or "the file"
        others = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise invalid(f"The bank fails its schema at {place!a}: {first['msg'].lower()}{others}.") from None
    except (ValueError, RecursionError) as error:
        raise invalid(f"The text is not a concept bank ({type(error).__name__}).") from error


def json_schema() -> dict[str, Any]:
    """Return the schema of a bank's file (JSON Schema, draft 2020-12)."""
    schema = _adapter().json_schema()
    seal = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the file without this entry"}
    schema["properties"] = {"format": {"const": FORMAT}, SEAL: seal, **schema["properties"]}
    schema["required"] = ["format", *schema["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Osler concept bank", **schema}
