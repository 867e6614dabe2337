"""Where a workspace keeps its index, reviews and audit log: in its own files, or in a PostgreSQL server named by URL."""

from __future__ import annotations

from osler.database.engine import open_database
from osler.database.stamps import index_stamp, touch
from osler.database.transactions import only_writer, transaction
from osler.database_address import Address, address_of

__all__ = ["Address", "address_of", "index_stamp", "only_writer", "open_database", "touch", "transaction"]
