"""Domain names: from what people write to what the DNS is asked.

RFC 5890 (A-labels), RFC 1035 §2.3.4 (lengths).

Fails: never; `ascii_domain` gives "" for a name that cannot be asked.
"""

from __future__ import annotations

import functools
import ipaddress

import idna

NAME_MAX = 253
LABEL_MAX = 63


@functools.lru_cache(maxsize=4096)
def ascii_domain(name: str) -> str:
    """Lower-case A-label form without a final dot; "" when it is no domain name."""
    name = name.removesuffix(".").lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError:
            return ""
    labels = name.split(".")
    fits = 0 < len(name) <= NAME_MAX and all(0 < len(label) <= LABEL_MAX for label in labels)
    return name if fits else ""


def unicode_domain(name: str) -> str:
    """A name in A-label form as its own script writes it; "" where it cannot be read."""
    try:
        return idna.decode(name) if name else ""
    except idna.IDNAError:
        return ""


def is_under(name: str, ancestor: str) -> bool:
    """Whether a name equals another or stands below it."""
    return name == ancestor or name.endswith("." + ancestor)


def reverse_name(ip: str) -> str:
    """The name under in-addr.arpa or ip6.arpa.  RFC 1035 §3.5, RFC 3596 §2.5."""
    return ipaddress.ip_address(ip).reverse_pointer
