"""Which lines of a list hold a value: one asked alone, and cheap guesses before.

A guess says which of a million lines are worth reading; it may take one too many, never one
too few.

Fails: never.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from millrace.engine.lists import entries, patterns, ranges
from millrace.engine.lists.entries import Entry
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.policy.listing import ListKind

Guess = Callable[[str], bool]


def held(kind: ListKind, entry: Entry, value: str) -> bool:
    """Whether one entry, ended or not, holds a value."""
    if kind == "networks":
        found = ranges.number(value)
        network = ipaddress.ip_network(entry.key)
        return found is not None and found[0] == network.version and _within(found[1], network)
    if kind == "patterns":
        return patterns.found(entry.key, value)
    return entry.key in _keys(kind, value)


def _within(address: int, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return int(network.network_address) <= address <= int(network.broadcast_address)


def _keys(kind: ListKind, value: str) -> frozenset[str]:
    """The keys that would hold a value."""
    if kind == "map":
        return frozenset({entries.folded(value)})
    local, at, name = value.rpartition("@") if kind == "addresses" else ("", "", value)
    name = ascii_domain(name)
    if kind == "addresses":
        return frozenset({f"{local.lower()}{at}{name}", f"@{name}"})
    labels = name.split(".")
    return frozenset({name, *("." + ".".join(labels[at:]) for at in range(len(labels)))})


def near(kind: ListKind, value: str) -> Guess:
    """A guess at the lines that hold a value."""
    if kind == "patterns":
        return lambda _: True
    return _network(value) if kind == "networks" else _words(kind, _keys(kind, value))


def same(kind: ListKind, key: str) -> Guess:
    """A guess at the lines that have just this key."""
    if kind == "patterns":
        return lambda line: key in line
    return _network(key.partition("/")[0]) if kind == "networks" else _words(kind, frozenset({key}))


def _words(kind: ListKind, keys: frozenset[str]) -> Guess:
    """By what a line begins with; what is not ASCII may be any of them."""

    def guess(line: str) -> bool:
        if kind == "map":
            word = line.partition("=")[0].strip()
        else:
            word = line.split(None, 1)[0].removesuffix(".") if line.strip() else ""
        return word.lower() in keys or not word.isascii()

    return guess


def _network(address: str) -> Guess:
    """Plain networks are compared as numbers; of others only a closer look can tell."""
    wanted = ranges.number(address)

    def guess(line: str) -> bool:
        words = line.split(None, 1)
        found = ranges.plain(words[0]) if words else None
        if found is None or wanted is None:
            return bool(words)
        family, start, prefix = found
        bits = 32 if family == 4 else 128
        return family == wanted[0] and start <= wanted[1] < start + (1 << bits - prefix)

    return guess
