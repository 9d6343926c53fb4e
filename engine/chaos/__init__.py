"""Faults on purpose: a proxy that breaks connections, and drills that use it."""
