"""Text for the benchmark of retrieval: passages of real sentences, recombined, over a vocabulary of natural shape.

The sentences come from the corpora that Osler ships and from a file of reports. Half of the longer words of each are
swapped for draws from a vocabulary whose frequencies follow Zipf's law: the real words first, by their frequency,
then made-up ones. Without them a million passages would share six thousand words, which no library does.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from osler_knowledge.corpus import load_corpus
from osler_knowledge.lexicon import starter_lexicon
from osler_knowledge.passages import token_count

TASK = "chest-radiograph"
POOL, VOCABULARY, SWAPPED = 200_000, 300_000, 0.5
MOST_TOKENS, LONGER = 110, 5
SYLLABLES = ("ba", "co", "di", "fe", "gu", "la", "me", "ni", "or", "pa", "ri", "sa", "te", "ul", "vo", "xe", "ther")
SYLLABLES += ("oma", "itis", "gen")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def real_sentences(reports: Path) -> list[str]:
    """Return the sentences of the shipped corpus and of the reports, each once, in order."""
    with reports.open(newline="", encoding="utf-8") as stream:
        texts = [row[column] for row in csv.DictReader(stream) for column in ("findings", "impression")]
    texts += [entry.text for entry in load_corpus(task=TASK).entries]
    found = (sentence.strip() for text in texts for sentence in _SENTENCE_END.split(text))
    return list(dict.fromkeys(sentence for sentence in found if len(sentence.split()) > 2))


def passages(reports: Path, seed: int = 0) -> Iterator[str]:
    """Yield passages of two to seven sentences and at most `MOST_TOKENS` tokens, without end."""
    chance = random.Random(seed)
    pool = _pool(real_sentences(reports), chance)
    while True:
        kept, held = [], 0
        for sentence, tokens in chance.choices(pool, k=chance.randint(2, 7)):
            if kept and held + tokens > MOST_TOKENS:
                break
            kept.append(sentence)
            held += tokens
        yield " ".join(kept)


def _pool(sentences: list[str], chance: random.Random) -> list[tuple[str, int]]:
    counts = Counter(word.lower() for sentence in sentences for word in re.findall(r"[A-Za-z]+", sentence))
    words = [word for word, _ in counts.most_common() if len(word) >= LONGER]
    made = {"".join(chance.choices(SYLLABLES, k=chance.randint(3, 6))) for _ in range(2 * VOCABULARY)}
    words += sorted(made - set(words))[: VOCABULARY - len(words)]
    weights = list(accumulate(1 / rank for rank in range(10, len(words) + 10)))
    drawn = iter(chance.choices(words, cum_weights=weights, k=POOL * 30))

    def swapped(word: str) -> str:
        bare = word.strip(".,;:()")
        return word.replace(bare, next(drawn)) if len(bare) >= LONGER and chance.random() < SWAPPED else word

    written = (" ".join(map(swapped, sentence.split()[:60])) for sentence in chance.choices(sentences, k=POOL))
    return [(text, token_count(text)) for text in written]


def write_jsonl(target: Path, reports: Path, count: int) -> None:
    """Write passages as MedRAG does, one a line."""
    with target.open("w", encoding="utf-8") as stream:
        for number, text in zip(range(count), passages(reports), strict=False):
            stream.write(json.dumps({"id": f"p{number}", "title": "", "content": text}) + "\n")


def queries(reports: Path, count: int, seed: int = 1) -> list[str]:
    """Return queries as proposal asks them, as a clinician types them, and as fragments of reports; a third each."""
    chance = random.Random(seed)
    sentences, names = real_sentences(reports), [one.name for one in starter_lexicon(TASK).findings]
    words = sorted({word.lower() for one in sentences for word in re.findall(r"[A-Za-z]{5,}", one)})
    asked = []
    for number in range(count):
        if number % 3 == 0:
            asked.append(f"chest radiograph {chance.choice(names)} {chance.choice(words)} diagnosis criteria")
        elif number % 3 == 1:
            asked.append(" ".join(chance.choices(words, k=chance.randint(2, 3))))
        else:
            fragment = chance.choice(sentences).split()
            asked.append(" ".join(fragment[: chance.randint(4, 12)]))
    return asked
