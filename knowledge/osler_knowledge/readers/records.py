"""XML as a stream of records, with nothing resolved, fetched or grown: what PubMed and JATS readers share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.readers.base import Options, refused
from osler_knowledge.readers.streams import Bounded, open_bounded

_KINDS = etree.ErrorTypes
_ENCODING = {_KINDS.ERR_INVALID_CHAR, _KINDS.ERR_INVALID_ENCODING, _KINDS.ERR_UNKNOWN_ENCODING}
_ENCODING |= {_KINDS.ERR_UNSUPPORTED_ENCODING}
_LIMIT = ("huge", "too long", "depth", "limit", "excessive", "amplification")


def records(path: Path, tags: tuple[str, ...], options: Options) -> Iterator[Any]:
    """Yield each element with one of the tags, and free it when the next is asked for.

    Raises:
        OslerError: `document-unsafe` where the file declares entities, `document-invalid` where it is not well formed,
            `document-encoding`, `document-too-large`, `document-missing`; what was yielded before stands.
    """
    with open_bounded(path, options.limits) as stream:
        stream.by_record = True
        count = 0
        try:
            for element in _elements(stream, tags):
                count += 1
                yield element
        except etree.XMLSyntaxError as error:
            raise _malformed(error, count) from None


def _elements(stream: Bounded, tags: tuple[str, ...]) -> Iterator[Any]:
    parser = etree.iterparse(
        stream,
        events=("start", "end"),
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    depth = 0
    for event, element in parser:
        if event == "start":
            if depth == 0:
                _check_declarations(element)
            depth += 1
            continue
        depth -= 1
        if etree.QName(element).localname not in tags:
            continue
        yield element
        stream.next_record()
        element.clear()
        while (before := element.getprevious()) is not None:
            before.getparent().remove(before)


def _check_declarations(root: Any) -> None:
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and any(True for _ in declared.iterentities()):
        raise refused(
            Code.DOCUMENT_UNSAFE, "The file declares entities of its own.", "Save it with the entities written out."
        )


def _malformed(error: etree.XMLSyntaxError, count: int) -> OslerError:
    code, kind = Code.DOCUMENT_INVALID, "is not well formed"
    message = str(error.msg or "").lower()
    if any(word in message for word in _LIMIT):
        code, kind = Code.DOCUMENT_TOO_LARGE, "exceeds what one element may hold"
    elif error.code in _ENCODING:
        code, kind = Code.DOCUMENT_ENCODING, "is not in the encoding that it states"
    before = f"; the {count} before are kept" if count else ""
    return refused(code, f"The XML {kind} at line {error.lineno}{before}.", "Fetch or export the file again.")


def text_of(element: Any) -> str:
    """Return all text under an element, mark-up set aside."""
    return "" if element is None else " ".join("".join(element.itertext()).split())


def first(element: Any, *paths: str) -> Any:
    """Return what the first of the paths finds, or None; name spaces do not matter."""
    for path in paths:
        found = element.find(path)
        if found is not None:
            return found
    return None
