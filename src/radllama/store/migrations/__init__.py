"""Alembic's folder: `versions/` holds the migrations in order, each with the revision that it follows."""
