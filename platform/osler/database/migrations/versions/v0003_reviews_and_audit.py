"""Reviews and the audit log beside the index, for workspaces whose database is a server."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from osler.database.base import Words

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; the schema is told by the table of migrations from here on, and no longer by a setting."""
    op.create_table(
        "reviews",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("study", Words(64), nullable=False, index=True),
        sa.Column("line", Words(), nullable=False),
    )
    op.create_table(
        "audit_entries",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("line", Words(), nullable=False),
    )
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("sha256", Words(64), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            """
CREATE OR REPLACE FUNCTION audit_entries_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'entries of the audit log are never changed' USING ERRCODE = '42501'; END $$
"""
        )
        op.execute(
            """
CREATE TRIGGER audit_entries_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_are_final()
"""
        )
    op.execute("DELETE FROM settings WHERE name = 'schema'")


def downgrade() -> None:
    """Drop them, and say again which schema it is."""
    for name in ("audit_head", "audit_entries", "reviews"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_entries_are_final()")
    op.execute("INSERT INTO settings (name, value) VALUES ('schema', '2')")
