"""Which networks is an address in?  Read once, asked by whole numbers.

An IPv4-mapped address is the IPv4 one, and a zone is dropped, as for the peer itself.

Fails: `Networks` raises ValueError for a text that is no network; `holds` never.
"""

from __future__ import annotations

import ast
import functools
import ipaddress
import re
from collections.abc import Iterable

_MAPPED = 96  # bits before an IPv4 address in an IPv6 one, RFC 4291 §2.5.5.2
_LIKELY = re.compile(r"[0-9A-Fa-f:.]+/\d{1,3}")


class Networks:
    """Some networks of both families; a bare address is a network of one."""

    __slots__ = ("_by_length",)

    def __init__(self, texts: Iterable[str]) -> None:
        by_length: dict[tuple[int, int], set[int]] = {}  # family and host bits
        for text in texts:
            found = _plain(text.strip())
            bits = found.max_prefixlen - found.prefixlen
            by_length.setdefault((found.version, bits), set()).add(
                int(found.network_address) >> bits
            )
        self._by_length = tuple((*key, frozenset(heads)) for key, heads in by_length.items())

    def holds(self, address: str) -> bool:
        """Whether the address is in one of them; what is no address is in none."""
        version, number = _number(address)
        for family, bits, heads in self._by_length:
            if family == version and number >> bits in heads:
                return True
        return False


def _plain(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        found = network(text)
    except ValueError:
        raise ValueError(f"{text!r} is no network") from None
    if ipaddress.ip_interface(text).ip != ipaddress.ip_network(text, strict=False)[0]:
        raise ValueError(f"{text!r} has bits behind its mask: {found} is meant, or an address")
    return found


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Read a network or an address; bits behind the mask do not count.

    Raises ValueError for what is neither.
    """
    found = ipaddress.ip_network(text, strict=False)
    mapped = getattr(found.network_address, "ipv4_mapped", None)
    if mapped is not None and found.prefixlen >= _MAPPED:
        return ipaddress.ip_network(f"{mapped}/{found.prefixlen - _MAPPED}")
    return found


@functools.lru_cache(maxsize=4096)
def _number(text: str) -> tuple[int, int]:
    """Family and whole number; family 0 for what is no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return 0, 0
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.version, int(mapped)


def likely(text: str) -> bool:
    """Whether somebody meant a network: `192.0.2.0/24`."""
    return _LIKELY.fullmatch(text) is not None


def canonical(text: str) -> str | None:
    """An address as the wire gives it; None for what is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def named(node: ast.expr) -> list[str]:
    """The networks that stand on the right of `in`; none where other texts stand there."""
    entries = node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node]
    values = [each.value for each in entries if isinstance(each, ast.Constant)]
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < len(entries) or not (any(map(likely, texts)) or all(map(canonical, texts))):
        return []
    return texts
