"""JATS and BITS, the XML of PubMed Central's articles (NXML) and of StatPearls' chapters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from lxml import etree

from osler_contracts.codes import Code
from osler_knowledge.corpus import Entry
from osler_knowledge.readers.base import Options, Reading, compose, finish, refused
from osler_knowledge.readers.plain import identifier
from osler_knowledge.readers.records import records, text_of

_RECORDS = ("article", "book-part-wrapper")
_HREF = "{http://www.w3.org/1999/xlink}href"
# Not prose of the document: figures and tables keep their captions, lists of references say nothing about an image.
_SKIPPED = {"ref-list", "table", "tex-math", "math", "graphic", "fn-group", "ack", "object-id", "label", "title"}
_BLOCKS = {"p", "list-item", "caption", "disp-quote", "def", "fig", "table-wrap"}
_BREAK = "\f"  # no character of XML, so none of the text


def read_jats(path: Path, name: str, options: Options) -> Reading:
    """Read each article or chapter; sections keep their path of titles (`Diagnosis > Chest radiograph`).

    Raises:
        OslerError: As `records`.
    """
    number = 0
    for number, record in enumerate(records(path, _RECORDS, options), 1):
        yield finish(_entry(record, name, number), f"{name}:{number}", options)
    if number == 0:
        raise refused(Code.DOCUMENT_INVALID, "The XML holds no article.", "Name its format with --format.")


def _entry(record: Any, name: str, number: int) -> Entry:
    meta = _found(record, "article-meta", "book-part-meta", "book-meta")
    title = text_of(_found(record, "article-title")) if meta is None else _title(meta)
    text, sections = compose(_parts(record))
    own = _own_id(record, meta)
    date = _date(meta)
    stem = identifier(name) if number == 1 else f"{identifier(name)}:{number}"
    reference = ". ".join(part.rstrip(".") for part in (title, _journal(record), date, own) if part) + "."
    source = f"{PurePosixPath(name).name}{f' {own}' if own else ''}"
    return Entry(own or stem, title, text, (reference,), _licence(meta), False, date, source, sections)


def _found(element: Any, *names: str) -> Any:
    """Return the first descendant with one of the names, whatever its name space."""
    for name in names:
        for found in element.iter(f"{{*}}{name}"):
            return found
    return None


def _title(meta: Any) -> str:
    return text_of(_found(meta, "article-title", "title", "book-title"))


def _own_id(record: Any, meta: Any) -> str:
    """Return the identifier of PubMed Central, of PubMed, of the Bookshelf or the DOI, in this order."""
    found = {} if meta is None else {one.get("pub-id-type", ""): text_of(one) for one in meta.iter("{*}article-id")}
    pmc = found.get("pmcid") or found.get("pmc")
    if pmc:
        return f"pmc:{pmc.upper().removeprefix('PMC')}"
    if pmid := found.get("pmid"):
        return f"pmid:{pmid}"
    chapters = record.iter("{*}book-part-id")
    access = next((text_of(one) for one in chapters if one.get("book-part-id-type") == "art-access-id"), "")
    if shelf := access or record.get("id", "").strip():
        return f"bookshelf:{shelf}"
    return f"doi:{found['doi']}" if found.get("doi") else ""


def _date(meta: Any) -> str:
    if meta is None:
        return ""
    dates = [one for one in meta.iter("{*}pub-date", "{*}date") if one.find("{*}year") is not None]
    shown = sorted(_written(date) for date in dates)
    return shown[-1] if shown else ""


def _written(date: Any) -> str:
    parts = [text_of(date.find(f"{{*}}{name}")) for name in ("year", "month", "day")]
    known = [part.zfill(2) for part in parts if part.isdigit()]
    return "-".join(known)


def _licence(meta: Any) -> str:
    licence = None if meta is None else _found(meta, "license")
    if licence is None:
        return text_of(_found(meta, "copyright-statement")) if meta is not None else ""
    link = licence.get(_HREF) or next((one.get(_HREF) for one in licence.iter("{*}ext-link") if one.get(_HREF)), "")
    return link or text_of(licence)[:200] or licence.get("license-type", "")


def _journal(record: Any) -> str:
    return text_of(_found(record, "journal-title"))


def _parts(record: Any) -> Iterator[tuple[str, list[str]]]:
    for abstract in record.iter("{*}abstract"):
        yield from _section(abstract, ("Abstract",))
    for body in record.iter("{*}body"):
        yield from _section(body, ())


def _section(element: Any, path: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Yield what stands directly in a section, then its sections."""
    prose = "".join(_prose(child) for child in element if _name(child) != "sec")
    yield " > ".join(path), prose.split(_BREAK)
    for child in element:
        if _name(child) == "sec":
            title = text_of(child.find("{*}title"))
            yield from _section(child, (*path, title) if title else path)


def _prose(element: Any) -> str:
    """Return the text under an element with a break around each paragraph; its depth is bounded by the parser."""
    name = _name(element)
    if not name or name in _SKIPPED:
        return ""
    inner = (element.text or "") + "".join(_prose(child) + (child.tail or "") for child in element)
    return f"{_BREAK}{inner}{_BREAK}" if name in _BLOCKS else inner


def _name(element: Any) -> str:
    """Return the local name; empty for comments, entities and the like."""
    return etree.QName(element).localname if isinstance(element.tag, str) else ""
