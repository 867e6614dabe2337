"""Osler: concept-bottleneck models for medical imaging. This package is what runs in a hospital."""

__version__ = "0.1.0"
