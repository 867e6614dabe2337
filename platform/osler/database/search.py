"""What a server holds of a workspace, as bytes to search: the files of the workspace do not show it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import Engine, select

from osler.database.schema import tables

ROWS = 500


def rows_as_bytes(engine: Engine) -> Iterator[tuple[str, bytes]]:
    """Yield the name of a table and some of its rows, until all rows of all tables have come."""
    with engine.connect() as connection:
        for table in tables().sorted_tables:
            found = connection.execute(select(table).execution_options(yield_per=ROWS))
            for part in found.partitions(ROWS):
                rows = [[str(value) for value in row] for row in part]
                yield table.name, json.dumps(rows, ensure_ascii=False).encode("utf-8", "replace")
