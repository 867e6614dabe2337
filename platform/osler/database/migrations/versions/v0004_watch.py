"""Studies on their way through `osler watch`, the record of their steps, and how far a feed was followed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from osler.database.base import Words

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "watch_studies",
        sa.Column("uid", Words(64), primary_key=True),
        sa.Column("sealed", Words(255), nullable=False),
        sa.Column("stage", Words(16), nullable=False, index=True),
        *(sa.Column(name, Words(64), nullable=False) for name in ("title", "site", "mark")),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("version", "looked")),
        *(sa.Column(name, Words(64), nullable=False) for name in ("listed", "pending", "revision")),
        sa.Column("content", Words(), nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("reports", "attempts")),
        sa.Column("code", Words(64), nullable=False),
        sa.Column("reason", Words(), nullable=False),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("seen", "touched")),
        sa.Column("due", sa.Float, nullable=False, index=True),
        sa.Column("settled", sa.Float, nullable=False),
    )
    op.create_table(
        "watch_steps",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study", Words(64), nullable=False, index=True),
        sa.Column("step", Words(16), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("detail", Words(255), nullable=False),
    )
    op.create_table(
        "watch_cursors",
        sa.Column("feed", Words(255), primary_key=True),
        sa.Column("cursor", Words(255), nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for name in ("watch_cursors", "watch_steps", "watch_studies"):
        op.drop_table(name)
