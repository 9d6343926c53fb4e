"""Regions: domains with all below them, networks with all addresses in them.

Both are trees, and a place in a tree is the path to it: `mail.example.org` is
("org", "example", "mail"), 192.0.2.0/24 the address's family and its first 24 bits.  Of two
regions one holds the other, or they have nothing in common.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Path = tuple[str, ...]
Paths = frozenset[Path]


def domain_path(name: str) -> Path:
    """The path of a domain, from the top; () for no name."""
    bare = name.lower().removesuffix(".")
    return tuple(reversed(bare.split("."))) if bare else ()


def network_path(text: str) -> Path:
    """The path of an address or a network; () for what is neither."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return ()
    bits = f"{int(network.network_address):0{network.max_prefixlen}b}"
    return (str(network.version), *bits[: network.prefixlen])


def holds(outer: Path, inner: Path) -> bool:
    """Whether one region holds the other."""
    return inner[: len(outer)] == outer


def inside(path: Path, regions: Paths) -> bool:
    """Whether a place lies in one of these regions."""
    return bool(path) and any(holds(region, path) for region in regions)


def common(first: Paths, second: Paths) -> Paths:
    """What lies in both."""
    deeper = {max(a, b, key=len) for a in first for b in second if holds(a, b) or holds(b, a)}
    return frozenset(deeper)


def without(regions: Paths, taken: Iterable[Paths]) -> Paths:
    """The regions of which something may be left when the taken ones are cut out."""
    gone = [each for paths in taken for each in paths]
    return frozenset(r for r in regions if not any(holds(each, r) for each in gone))
