"""Requests of each caller in each window of the limit, for servers that share a database."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table. PostgreSQL keeps it out of its log: a count need not outlive a crash, nor wait for the disk."""
    op.create_table(
        "request_counts",
        sa.Column("caller", sa.String(16), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("caller", "ends", name="pk_request_counts"),
        prefixes=["UNLOGGED"] if op.get_bind().dialect.name == "postgresql" else [],
    )
