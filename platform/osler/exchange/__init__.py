"""Models that leave a workspace and enter another: one folder or zip, every file under its hash, never a pickle."""
