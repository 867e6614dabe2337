"""Rows on their way from one database into another: read in the order of their keys, written in chunks, compared one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, insert, select

from osler.database.base import clean
from osler.database.ownership import MARK
from osler.database.schema import tables

CHUNK = 1000
FROM_LINES = frozenset({"reviews", "audit_entries", "audit_head"})  # files hold them as lines, the others as tables

Rows = Iterator[dict[str, Any]]
Origin = Mapping[str, Callable[[], Rows]]


class DifferError(ValueError):
    """A row that is not what its origin holds.

    Attributes:
        table: Name of the table.
        row: Its place in the order of the keys, from 1.
    """

    def __init__(self, table: str, row: int) -> None:
        super().__init__(f"{table}, row {row}")
        self.table, self.row = table, row


def index_rows(source: Engine | Connection) -> Origin:
    """Return, by table, what reads the rows of a database; on one connection, all are of its transaction."""

    def reader(table: Table) -> Callable[[], Rows]:
        def rows() -> Rows:
            query = _in_order(table).execution_options(yield_per=CHUNK)
            if isinstance(source, Connection):
                yield from map(dict, source.execute(query).mappings())
                return
            with source.connect() as connection:
                yield from map(dict, connection.execute(query).mappings())

        return rows

    return {table.name: reader(table) for table in tables().sorted_tables if table.name not in FROM_LINES}


def insert_rows(target: Connection, origin: Origin) -> None:
    """Write the rows of an origin into the tables of its names; a table that it does not name is left."""
    for table in (table for table in tables().sorted_tables if table.name in origin):
        chunk: list[dict[str, Any]] = []
        for row in origin[table.name]():
            chunk.append(row)
            if len(chunk) == CHUNK:
                target.execute(insert(table), chunk)
                chunk = []
        if chunk:
            target.execute(insert(table), chunk)


def compare_rows(target: Connection, origin: Origin) -> dict[str, int]:
    """Compare every row with its origin, all but the mark of a workspace, and return how many there are by table.

    Raises:
        DifferError: At the first row that differs, is missing or too many.
    """
    counts = {}
    for table in (table for table in tables().sorted_tables if table.name in origin):
        count = 0
        copied = target.execute(_in_order(table)).mappings()
        for one, row in zip_longest(copied, origin[table.name]()):
            if row is None or one is None or dict(one) != {name: _cleaned(value) for name, value in row.items()}:
                raise DifferError(table.name, count + 1)
            count += 1
        counts[table.name] = count
    return counts


def _in_order(table: Table) -> Select[Any]:
    query = select(table).order_by(*table.primary_key.columns)
    return query.where(table.c.name != MARK) if table.name == "settings" else query


def _cleaned(value: Any) -> Any:
    return clean(value) if isinstance(value, str) else value
