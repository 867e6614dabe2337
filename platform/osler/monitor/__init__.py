"""Watching what a model sees: which concepts moved since the source, how far, since when; and what to label next."""
