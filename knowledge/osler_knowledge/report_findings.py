"""Findings that reports name, with their phrases: lists of their own, for annotating reports without a concept bank."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import yaml

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.annotate import Phrases

_FOLDER = "reports"
_FIELDS = frozenset({"id", "name", "terms", "absent_terms", "other_terms"})
DEFAULT_LIST = "chest-findings"


def finding_lists() -> tuple[str, ...]:
    """Return the names of the lists that are shipped."""
    files = resources.files("osler_knowledge").joinpath(_FOLDER).iterdir()
    return tuple(sorted(one.name.removesuffix(".yaml") for one in files if one.name.endswith(".yaml")))


def report_findings(name: str = DEFAULT_LIST) -> dict[str, Phrases]:
    """Return the phrases of a shipped list by finding, in its order.

    Raises:
        OslerError: `unknown-file` where there is no such list.
    """
    if name not in finding_lists():
        raise OslerError(
            Code.UNKNOWN_FILE, f"There is no list of findings {name!r}.", f"Use one of: {', '.join(finding_lists())}."
        )
    return read_findings(
        resources.files("osler_knowledge").joinpath(_FOLDER, f"{name}.yaml").read_text(encoding="utf-8")
    )


def load_findings(path: Path) -> dict[str, Phrases]:
    """Return the phrases of a list of one's own.

    Raises:
        OslerError: `corpus-invalid` where the file cannot be read or is not such a list.
    """
    try:
        return read_findings(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _not_a_list(f"{path.name} cannot be read ({type(error).__name__})") from error


def read_findings(text: str) -> dict[str, Phrases]:
    """Return the phrases of a list, which is YAML: `findings`, each with `id` and `terms`.

    Raises:
        OslerError: `corpus-invalid` where the text is not such a list, or names a finding twice.
    """
    try:
        records = yaml.safe_load(text)["findings"]
        phrases = {one["id"]: _phrases(one) for one in records}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise _not_a_list(f"The text is not a list of findings ({type(error).__name__})") from error
    if not phrases or len(phrases) < len(records):
        raise _not_a_list("The list is empty or names a finding twice")
    return phrases


def _phrases(record: dict[str, object]) -> Phrases:
    lists = [record.get(name, []) for name in ("terms", "absent_terms", "other_terms")]
    if not set(record) <= _FIELDS or not record["terms"]:
        raise KeyError("terms")
    if not all(isinstance(one, list) and all(isinstance(term, str) and term.strip() for term in one) for one in lists):
        raise TypeError("phrases")
    terms, absent, other = (tuple(map(str, one)) for one in lists if isinstance(one, list))
    return Phrases(terms, absent, other)


def _not_a_list(what: str) -> OslerError:
    return OslerError(Code.CORPUS_INVALID, f"{what}.", "Compare it with the list that `osler knowledge` ships.")
