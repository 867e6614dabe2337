"""Encoders: images to features, each loaded from a local folder and checked by hash."""
