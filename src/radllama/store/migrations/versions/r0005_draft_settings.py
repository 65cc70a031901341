"""How a draft was made and what was asked of the model, so that it can be made again."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add both columns; of drafts that stand there already, nothing is known."""
    op.add_column("drafts", sa.Column("settings", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("drafts", sa.Column("asked", sa.JSON(), nullable=False, server_default="[]"))
