"""What decoded the pixels of each instance at the gate, with its version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from osler.database.base import Words

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; files of before do not say."""
    op.add_column("instances", sa.Column("decoder", Words(128), nullable=False, server_default=""))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("instances", "decoder")
