"""What tells that a study has arrived: a feed a file."""

from __future__ import annotations
