"""Ingestion: from a folder of files to the archive, with every file accounted for."""

from osler.ingest.pipeline import ingest
from osler.ingest.summary import IngestSummary

__all__ = ["IngestSummary", "ingest"]
