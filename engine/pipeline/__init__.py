"""From signatures to a plan, and a mail through it."""
