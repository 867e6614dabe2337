"""Readers of medical text: each streams a file as documents, or says what it refuses and why."""
