"""Work spread over expendable worker processes, on this machine or on many."""

from __future__ import annotations

from osler.engine.base import Engine
from osler.engine.choice import ENGINES, EngineChoice
from osler.engine.limits import UNLIMITED, Limits

__all__ = ["ENGINES", "UNLIMITED", "Engine", "EngineChoice", "Limits"]
