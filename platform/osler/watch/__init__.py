"""`osler watch`: from a PACS to an explained, stored result without hands; at least once in, exactly once out."""

from __future__ import annotations
