"""Shipped pipelines: which filters run, with which options."""
