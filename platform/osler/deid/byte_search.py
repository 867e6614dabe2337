"""Searching raw bytes for identifiers, in the encodings in which files hold text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be", "shift_jis", "gb18030", "euc_kr")


def found_in(content: bytes, identifiers: Iterable[str]) -> Iterator[str]:
    """Yield the identifiers that bytes hold, letters in either case, in any of the encodings.

    Identifiers of fewer than five bytes count only where no letter or digit stands beside them: in megabytes of pixels
    they turn up by chance.
    """
    wanted = frozenset(identifiers)
    lowered = content.lower()
    return (word for word, pattern in _patterns(wanted) if pattern.search(lowered))


@lru_cache(maxsize=64)
def _patterns(identifiers: frozenset[str]) -> list[tuple[str, re.Pattern[bytes]]]:
    found = []
    for word in sorted(identifiers):
        # Bytes know no case beyond ASCII, so that a name with other letters is searched in three ways of writing it.
        forms = {form for text in {word, word.lower(), word.upper(), word.title()} for form in _encoded(text)}
        alternatives = b"|".join(
            re.escape(form) if len(form) >= 5 else rb"(?<![0-9a-z])" + re.escape(form) + rb"(?![0-9a-z])"
            for form in sorted(forms)
        )
        found.append((word, re.compile(alternatives)))
    return found


def _encoded(text: str) -> Iterator[bytes]:
    for encoding in ENCODINGS:
        try:
            yield text.encode(encoding).lower()
        except UnicodeEncodeError:
            continue
