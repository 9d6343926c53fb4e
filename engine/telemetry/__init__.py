"""What the running engine says of itself."""
