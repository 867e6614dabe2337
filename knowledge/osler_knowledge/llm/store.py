"""What is kept of a conversation: answers by the digest of their question, and a log of every request.

An answer is written whole under another name and then moved into place, so that a process that is killed leaves no half
of one. A line of the log is one write.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HIDDEN = "[key]"


def digest(question: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a question in canonical JSON."""
    return hashlib.sha256(json.dumps(question, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class AnswerCache:
    """Answers in a folder, a file each; None for the folder keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, key: str) -> str | None:
        """Return the text of an answer; None where there is none, or where the file is damaged."""
        if self._folder is None:
            return None
        try:
            record = json.loads(self._path(self._folder, key).read_text(encoding="utf-8"))
            answer = record["answer"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return answer if isinstance(answer, str) and record.get("question") == key else None

    def put(self, key: str, answer: str) -> None:
        """Keep an answer."""
        if self._folder is None:
            return
        path = self._path(self._folder, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}.part")
        with draft.open("w", encoding="utf-8") as file:
            json.dump({"question": key, "answer": answer}, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    @staticmethod
    def _path(folder: Path, key: str) -> Path:
        return folder / key[:2] / f"{key}.json"


class Journal:
    """A log in JSON lines of every prompt, answer and failure; the key is taken out wherever it occurs."""

    def __init__(self, path: Path | None, secret: str | None = None) -> None:
        self._path = path
        self._secret = secret
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **record: Any) -> None:
        """Append one line with the time."""
        if self._path is None:
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": time, **record}, ensure_ascii=False)
        if self._secret:
            line = line.replace(self._secret, HIDDEN).replace(json.dumps(self._secret)[1:-1], HIDDEN)
        target = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(target, line.encode("utf-8", "replace") + b"\n")
        finally:
            os.close(target)
