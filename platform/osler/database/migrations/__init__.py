"""Alembic's folder: what it runs (`env`) and the steps from each schema to the next (`versions`)."""
