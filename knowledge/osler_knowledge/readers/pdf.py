"""PDF by pypdf: the text that the pages hold, each page a section. Scanned pages hold none."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.corpus import Entry
from osler_knowledge.readers.base import Options, Reading, compose, finish, refused, too_large
from osler_knowledge.readers.plain import identifier

if TYPE_CHECKING:
    from pypdf import PdfReader


def read_pdf(path: Path, name: str, options: Options) -> Reading:
    """Read one document.

    Raises:
        OslerError: `document-missing`, `document-invalid` where it is damaged or encrypted, `document-too-large`.
    """
    try:
        if path.stat().st_size > options.limits.record:
            raise too_large(options.limits)
        yield finish(_entry(path, name, options), name, options)
    except OslerError:
        raise
    except OSError as error:
        raise refused(
            Code.DOCUMENT_MISSING, f"The file cannot be read ({type(error).__name__}).", "Check path and permissions."
        ) from error
    except Exception as error:  # a damaged PDF makes the library fail in any way
        raise refused(
            Code.DOCUMENT_INVALID, f"The PDF cannot be read ({type(error).__name__}).", "Save it anew, or as text."
        ) from error


def _entry(path: Path, name: str, options: Options) -> Entry:
    from pypdf import PdfReader

    reader = PdfReader(path)
    if reader.is_encrypted and not reader.decrypt(""):
        raise refused(Code.DOCUMENT_INVALID, "The PDF asks for a password.", "Save it without one.")
    if len(reader.pages) > options.limits.pages:
        raise too_large(options.limits)
    pages = [(f"page {number}", page.extract_text().split("\n\n")) for number, page in enumerate(reader.pages, 1)]
    text, sections = compose(pages)
    title, edition = _stated(reader)
    return Entry(identifier(name), title or PurePosixPath(name).stem, text, (), "", False, edition, name, sections)


def _stated(reader: PdfReader) -> tuple[str, str]:
    """Return title and date as the file states them."""
    stated = reader.metadata
    if stated is None:
        return "", ""
    date = stated.creation_date
    return str(stated.title or "").strip(), date.date().isoformat() if date else ""
