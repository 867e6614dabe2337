"""Optional dense vectors beside BM25: any callable that turns texts into vectors, searched in steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from osler_contracts.codes import Code
from osler_contracts.errors import OslerError
from osler_knowledge.index.layout import VECTORS, invalid

Encoder: TypeAlias = Callable[[Sequence[str]], NDArray[Any]]

TEXTS_AT_ONCE = 512
_ROWS_AT_ONCE = 65_536


def unit_vectors(encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return vectors of length one, shape (texts, dimensions); what has no direction stays zero.

    Raises:
        OslerError: `model-invalid` where the encoder returns another shape, or not numbers.
    """
    vectors = np.asarray(encoder(texts), np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise OslerError(
            Code.MODEL_INVALID, "The encoder does not return one finite vector for each text.", "Use another one."
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit


class VectorWriter:
    """Encodes passages in batches and writes the vectors as they come."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self._path, self._encoder = folder / VECTORS, encoder
        self._stream = (folder / f"{VECTORS}.raw").open("w+b")
        self._texts: list[str] = []
        self._rows = self._width = 0

    def add(self, text: str) -> None:
        """Take the next passage."""
        self._texts.append(text)
        if len(self._texts) >= TEXTS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        vectors = unit_vectors(self._encoder, self._texts).astype(np.float16)
        self._width = self._width or vectors.shape[1]
        if vectors.shape[1] != self._width:
            raise OslerError(Code.MODEL_INVALID, "The encoder changes its number of dimensions.", "Use another one.")
        self._stream.write(vectors.tobytes())
        self._rows += len(vectors)
        self._texts = []

    def finish(self) -> None:
        """Write the vectors as an array of shape (passages, dimensions)."""
        if self._texts:
            self._flush()
        raw = Path(self._stream.name)
        self._stream.close()
        given = np.memmap(raw, np.float16, "r", shape=(self._rows, self._width))
        kept = np.lib.format.open_memmap(self._path, "w+", np.float16, given.shape)
        for first in range(0, self._rows, _ROWS_AT_ONCE):
            kept[first : first + _ROWS_AT_ONCE] = given[first : first + _ROWS_AT_ONCE]
        kept.flush()
        del given
        raw.unlink()


def nearest(folder: Path, query: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the numbers of the `k` passages whose vectors point most nearly as the query's, equal ones in order.

    Raises:
        OslerError: `index-invalid` where the vectors have another number of dimensions.
    """
    vectors = np.load(folder / VECTORS, mmap_mode="r")
    if vectors.shape[1] != len(query):
        raise invalid(f"The index holds vectors of {vectors.shape[1]} dimensions; the encoder gives {len(query)}.")
    numbers, cosines = np.zeros(0, np.int64), np.zeros(0, np.float32)
    for first in range(0, len(vectors), _ROWS_AT_ONCE):
        some = vectors[first : first + _ROWS_AT_ONCE].astype(np.float32) @ query
        numbers = np.concatenate([numbers, np.arange(first, first + len(some))])
        cosines = np.concatenate([cosines, some])
        best = np.lexsort((numbers, -cosines))[:k]
        numbers, cosines = numbers[best], cosines[best]
    return numbers


def sentence_transformer(folder: Path) -> Encoder:
    """Return the encoder of a sentence-transformers model in a local folder; nothing is ever downloaded.

    Raises:
        OslerError: `source-missing` where there is no such folder, `part-missing` where the library is not installed,
            `model-invalid` where the folder holds no model.
    """
    if not folder.is_dir():
        raise OslerError(Code.SOURCE_MISSING, f"There is no folder {folder}.", "Name the model's own folder.")
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise OslerError(
            Code.PART_MISSING, "Dense retrieval needs sentence-transformers.", "Install it with `osler[dense]`."
        ) from None
    try:
        model = SentenceTransformer(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise OslerError(
            Code.MODEL_INVALID,
            f"The folder {folder.name} holds no sentence-transformers model ({type(error).__name__}).",
            "Name the folder that holds the model's modules.json.",
        ) from error

    def encode(texts: Sequence[str]) -> NDArray[Any]:
        return np.asarray(model.encode(list(texts), convert_to_numpy=True, show_progress_bar=False))

    return encode
