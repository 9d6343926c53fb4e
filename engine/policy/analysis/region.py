"""Regions: domains with all below them, networks with all addresses in them.

Both are trees, and a place in a tree is the path to it: `mail.example.org` is
("org", "example", "mail"), 192.0.2.0/24 the address's family and its first 24 bits.  Of two
regions one holds the other, or they have nothing in common.
"""

from __future__ import annotations

from collections.abc import Iterable

from millrace.engine.policy import networks

Path = tuple[str, ...]
Paths = frozenset[Path]


def domain_path(name: str) -> Path:
    """The path of a domain, from the top; () for no name."""
    bare = name.lower().removesuffix(".")
    return tuple(reversed(bare.split("."))) if bare else ()


def network_path(text: str) -> Path:
    """The path of an address or a network; () for what is neither."""
    try:
        network = networks.network(text)
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
    gone = frozenset(each for paths in taken for each in paths)
    return frozenset(region for region in regions if not _gone(region, gone))


def _gone(region: Path, taken: Paths) -> bool:
    """Whether all of it is taken, by one or, of a network, by its two halves."""
    if any(holds(each, region) for each in taken):
        return True
    inner = frozenset(each for each in taken if holds(region, each))
    halves = bool(inner) and region[:1] in (("4",), ("6",))
    return halves and all(_gone((*region, bit), inner) for bit in "01")
