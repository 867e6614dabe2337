"""Where images come from beside a folder: zip, DICOMDIR, DICOMweb, a classic PACS, a listener for C-STORE."""

from __future__ import annotations
