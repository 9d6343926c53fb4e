"""An address of the envelope: local part and domain.

RFC 5321 §4.1.2 (Path, Mailbox), RFC 6531 §3.3 (UTF-8 in both parts).

The local part is kept as it was written, since only its own host may interpret
it (RFC 5321 §2.4); the domain is lower-cased and loses a final dot.

Fails: `parse` raises ValueError with a sentence that may be shown to the peer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

DomainName = Annotated[str, "a domain: small letters, no final dot"]

LOCAL_MAX = 64  # octets, RFC 5321 §4.5.3.1.1; longer ones are seen, so ×4 is let pass
PATH_MAX = 1024  # RFC 5321 §4.5.3.1.3 says 256; VERP addresses of today are longer

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NEVER_IN_A_DOMAIN = re.compile(r"[ <>@]")
_QUOTED_ONLY = re.compile(r'[ <>()",;:\\]')


@dataclass(frozen=True, slots=True)
class Address:
    """`local@domain`; the domain is "" for a bare `postmaster`."""

    local: str
    domain: DomainName

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local

    @property
    def ascii(self) -> bool:
        """Whether it may travel without SMTPUTF8."""
        return self.local.isascii() and self.domain.isascii()

    @staticmethod
    def parse(text: str) -> Address | None:
        """Read `a@b`, `<a@b>`, `<@relay:a@b>` or `<>`; the null path is None."""
        text = text.strip()
        if text.startswith("<"):
            if not text.endswith(">"):
                raise ValueError("a path that opens with '<' must end with '>'")
            text = text[1:-1]
        if not text:
            return None
        if len(text) > PATH_MAX:
            raise ValueError(f"a path is at most {PATH_MAX} characters long")
        if _CONTROL.search(text):
            raise ValueError("an address holds no control characters")
        return _mailbox(_without_route(text))


def _without_route(text: str) -> str:
    # RFC 5321 §4.1.1.3: a source route "SHOULD be ignored"
    if text.startswith("@") and ":" in text:
        return text.split(":", 1)[1]
    return text


def _mailbox(text: str) -> Address:
    local, domain = _split(text)
    if not local:
        raise ValueError("an address needs something before '@'")
    if not domain and text.endswith("@"):
        raise ValueError("an address needs a domain after '@'")
    if len(local.encode("utf-8", "surrogateescape")) > LOCAL_MAX * 4:
        raise ValueError("the local part is too long")
    if _NEVER_IN_A_DOMAIN.search(domain):
        raise ValueError("the domain holds a character that no domain has")
    if not local.startswith('"') and _QUOTED_ONLY.search(local):
        raise ValueError("a local part with such characters must be quoted")
    return Address(local, domain.lower().removesuffix("."))


def _split(text: str) -> tuple[str, str]:
    if not text.startswith('"'):
        local, at, domain = text.partition("@")
        return (local, domain) if at else (text, "")
    end = 1
    while end < len(text) and text[end] != '"':
        end += 2 if text[end] == "\\" else 1
    if end >= len(text):
        raise ValueError("a quoted local part must end with a quote")
    rest = text[end + 1 :]
    if rest and not rest.startswith("@"):
        raise ValueError("after a quoted local part comes '@'")
    return text[: end + 1], rest[1:]
