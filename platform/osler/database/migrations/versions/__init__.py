"""A step a file; once published, a step is never changed."""
