"""Adapters to the network: streams, DNS, scanners, next hops."""
