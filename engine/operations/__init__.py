"""What may be asked of shared memory: one file is one atomic operation."""
