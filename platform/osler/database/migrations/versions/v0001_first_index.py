"""The index as the first version made it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from osler.database.base import Words

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of studies, instances, runs, intake, labels, reports and settings."""
    op.create_table(
        "studies",
        sa.Column("uid", Words(64), primary_key=True),
        sa.Column("site", Words(64), nullable=False, index=True),
        sa.Column("patient", Words(64), nullable=False, index=True),
        sa.Column("study_date", Words(8), nullable=False),
    )
    op.create_table(
        "instances",
        sa.Column("uid", Words(64), primary_key=True),
        sa.Column("study_uid", Words(64), sa.ForeignKey("studies.uid"), nullable=False, index=True),
        sa.Column("series_uid", Words(64), nullable=False),
        sa.Column("path", Words(255), nullable=False),
        sa.Column("source_sha256", Words(64), nullable=False, unique=True),
        sa.Column("sha256", Words(64), nullable=False),
        sa.Column("modality", Words(16), nullable=False),
        sa.Column("view", Words(16), nullable=False),
        sa.Column("eligible_frontal", sa.Boolean, nullable=False),
        sa.Column("acquired", Words(32), nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("columns", sa.Integer, nullable=False),
        sa.Column("transfer_syntax", Words(64), nullable=False),
        sa.Column("photometric", Words(16), nullable=False),
        sa.Column("warnings", sa.JSON, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("site", Words(64), nullable=False),
        sa.Column("contract", Words(64), nullable=False),
        sa.Column("started", Words(32), nullable=False),
        sa.Column("finished", Words(32)),
    )
    op.create_table(
        "intake",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("runs.id"), nullable=False, index=True),
        sa.Column("source_sha256", Words(64), nullable=False, index=True),
        sa.Column("outcome", Words(16), nullable=False),
        sa.Column("code", Words(64), nullable=False),
        sa.Column("detail", Words(), nullable=False),
    )
    op.create_table(
        "labels",
        sa.Column("study_uid", Words(64), primary_key=True),
        sa.Column("name", Words(128), primary_key=True),
        sa.Column("value", Words(), nullable=False),
    )
    op.create_table(
        "reports",
        sa.Column("study_uid", Words(64), primary_key=True),
        sa.Column("text", Words(), nullable=False),
    )
    op.create_table(
        "settings",
        sa.Column("name", Words(64), primary_key=True),
        sa.Column("value", Words(255), nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for name in ("settings", "reports", "labels", "intake", "runs", "instances", "studies"):
        op.drop_table(name)
