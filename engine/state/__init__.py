"""Adapters of the State port."""
