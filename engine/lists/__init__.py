"""Named lists in files: read strictly, looked up in microseconds, shared."""
