"""Reader studies: the same cases read with and without advice, some of it wrong on purpose, to see what advice does."""

FOLDER, READINGS = "reader_studies", "readings.jsonl"  # below the workspace's feedback
DELETED = "[deleted]"  # in place of a patient's study that was taken out of the archive
