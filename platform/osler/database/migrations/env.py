"""What Alembic runs: the steps, on the connection that `osler.database.migrate` gives, in its one transaction."""

from __future__ import annotations

from alembic import context

from osler.database.schema import VERSIONS, tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables(),
    version_table=VERSIONS,
    transactional_ddl=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
