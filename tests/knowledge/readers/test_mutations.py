"""Whatever a file has become, a reader answers with documents in order or refusals: never with another error."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from osler_contracts.codes import Code
from osler_knowledge.corpus import Entry
from osler_knowledge.passages import passages
from osler_knowledge.readers.base import Options, Refusal
from osler_knowledge.readers.read import read

PUBMED = (
    '<?xml version="1.0"?><PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>1</PMID><Article><ArticleTitle>T'
    '</ArticleTitle><Abstract><AbstractText Label="A">Words here.</AbstractText></Abstract></Article></MedlineCitation>'
    "</PubmedArticle></PubmedArticleSet>"
)
JATS = (
    '<article><front><article-meta><article-id pub-id-type="pmc">7</article-id></article-meta></front><body>'
    "<sec><title>S</title><p>Some <b>bold</b> words.</p><sec><p>More.</p></sec></sec></body></article>"
)
MARKDOWN = "---\nid: a\ntitle: A\nlicence: CC0\nclinically_reviewed: false\nreferences: [b]\n---\n\n# H\n\nText.\n"
PDF = (
    "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj\n"
    "4 0 obj<</Length 38>>stream\nBT /F 12 Tf 9 9 Td (Some words) Tj ET\nendstream endobj\n"
    "5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\ntrailer<</Root 1 0 R/Size 6>>\nstartxref\n0\n%%EOF\n"
)
SAMPLES = {
    "a.xml": PUBMED.encode(),
    "a.xml.gz": gzip.compress(PUBMED.encode(), mtime=0),
    "a.nxml": JATS.encode(),
    "a.jsonl": b'{"id": "a", "title": "T", "content": "Words."}\n{"id": 2, "contents": "More \\u00e9."}\n',
    "a.md": MARKDOWN.encode(),
    "a.txt": b"Plain words.\n\nAnd more.\n",
    "a.csv": b'uid,findings\n1,"Clear, lungs"\n2,Small\n',
    "a.pdf": PDF.encode(),
}
OPTIONS = Options(columns=("findings",))


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def flip(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def repeat(content: bytes, chance: random.Random) -> bytes:
    first, last = sorted(chance.sample(range(len(content) + 1), 2))
    return content[:last] + content[first:last] * chance.randint(1, 30) + content[last:]


def swap(content: bytes, chance: random.Random) -> bytes:
    first, last = sorted(chance.sample(range(len(content) + 1), 2))
    return content[last:] + content[first:last] + content[:first]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sound_sample_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SAMPLES[name])
    assert all(isinstance(one, Entry) for one in read([tmp_path / name], OPTIONS))


@pytest.mark.parametrize("change", [cut, flip, repeat, swap])
@pytest.mark.parametrize("name", SAMPLES)
def test_any_damage_is_a_refusal_or_a_sound_document(
    tmp_path: Path, name: str, change: Callable[[bytes, random.Random], bytes]
) -> None:
    path, chance = tmp_path / name, random.Random(f"{name}{change.__name__}")
    for _ in range(60):
        path.write_bytes(change(SAMPLES[name], chance))
        for one in read([path], OPTIONS):
            if isinstance(one, Refusal):
                assert one.name.startswith(name)
                assert one.code.value.startswith("document-")
                assert one.code != Code.DOCUMENT_DUPLICATE
                continue
            assert one.id
            one.text.encode()
            assert all(0 <= part.start < part.end <= len(one.text) for part in one.sections)
            assert all(first.end <= second.start for first, second in pairwise(one.sections))
            assert all(one.text[part.start : part.end] == part.text for part in passages(one))
