"""Shipped policies: rules, weights and lists."""
