"""Protocol cores, sans-IO: bytes in, events out."""
