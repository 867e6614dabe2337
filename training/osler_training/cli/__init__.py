"""Subcommands of the training floor; like those of the platform, they import heavy libraries only when run."""
