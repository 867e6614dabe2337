"""Ingestion: from a folder of files to the archive, with every file accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from osler.ingest.pipeline import ingest
    from osler.ingest.summary import IngestSummary

__all__ = ["IngestSummary", "ingest"]


def __getattr__(name: str) -> Any:
    """Import on first use: worker processes come through here and need neither database nor contracts."""
    if name == "ingest":
        from osler.ingest.pipeline import ingest

        return ingest
    if name == "IngestSummary":
        from osler.ingest.summary import IngestSummary

        return IngestSummary
    raise AttributeError(name)
