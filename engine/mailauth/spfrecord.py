"""An SPF record: its terms and macros, held to the grammar before any look-up.

RFC 7208 §4.6.1 (terms), §5 (mechanisms), §6 (modifiers), §7 (macros), §12 (grammar).
A syntax error anywhere makes the whole record one (§4.6), wherever evaluation would end.

Fails: `parse` raises ValueError with a sentence; `expanded` never.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

Qualified = Literal["pass", "fail", "softfail", "neutral"]
_QUALIFIERS: dict[str, Qualified] = {
    "": "pass", "+": "pass", "-": "fail", "~": "softfail", "?": "neutral",
}  # fmt: skip
_MACRO = r"%(?:\{([slodiphcrtv])(\d{0,9})(r?)([-.+,/_=]*)\}|[%_-])"
_MACROS = re.compile(_MACRO, re.I)
_LITERAL = r"[!-$&-~]"
_MACRO_STRING = re.compile(rf"(?:{_MACRO}|{_LITERAL})*", re.I)
_EXPLANATION = re.compile(rf"(?:{_MACRO}|{_LITERAL}| )*", re.I)
_TOP_LABEL = re.compile(r"(?=[a-z0-9-]*[a-z-])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.I)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.I)
_MECHANISM = re.compile(r"([-+?~]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?![a-z0-9])(.*)", re.I)
_DUAL_CIDR = re.compile(r"(?:/(0|[1-9]\d?))?(?://(0|[1-9]\d{0,2}))?$")
_CIDR = re.compile(r"(?:/(0|[1-9]\d{0,2}))?$")
_ONLY_IN_EXPLANATIONS = "crt"
_NAME_MAX = 253


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One directive; `domain` is its domain-spec, "" where none stands.

    `network` is the address of ip4 and ip6; the prefixes are lengths in bits.
    """

    text: str
    result: Qualified
    name: str
    domain: str = ""
    network: str = ""
    prefix4: int = 32
    prefix6: int = 128


@dataclass(frozen=True, slots=True)
class Record:
    """The directives in order; `redirect` and `explain` are domain-specs, "" where absent."""

    mechanisms: tuple[Mechanism, ...]
    redirect: str = ""
    explain: str = ""


@functools.lru_cache(maxsize=2048)
def parse(text: str) -> Record:
    """Read the text of a record, `v=spf1` included."""
    mechanisms: list[Mechanism] = []
    modifiers = {"redirect": "", "exp": ""}
    for term in filter(None, text.split(" ")[1:]):
        found = _MODIFIER.fullmatch(term)
        if found is None:
            mechanisms.append(_mechanism(term))
            continue
        name, value = found[1].lower(), found[2]
        if name not in modifiers:  # RFC 7208 §6: unknown ones are ignored, however often
            if not _macros_hold(_MACRO_STRING, value):
                raise ValueError(f"{term[:40]} is no modifier")
            continue
        if modifiers[name]:
            raise ValueError(f"{name}= stands twice")
        modifiers[name] = _domain_spec(value, term)
    return Record(tuple(mechanisms), modifiers["redirect"], modifiers["exp"])


def _mechanism(term: str) -> Mechanism:
    found = _MECHANISM.fullmatch(term)
    if found is None:
        raise ValueError(f"{term[:40]} is no mechanism")
    result, name, rest = _QUALIFIERS[found[1]], found[2].lower(), found[3]
    if name == "all":
        if rest:
            raise ValueError(f"all has no argument, but {term[:40]} has")
        return Mechanism(term, result, name)
    if name in ("ip4", "ip6"):
        return _network(term, result, name, rest)
    prefix4, prefix6 = 32, 128
    if name in ("a", "mx"):
        cidr = cast("re.Match[str]", _DUAL_CIDR.search(rest))
        rest, prefix4, prefix6 = rest[: cidr.start()], int(cidr[1] or 32), int(cidr[2] or 128)
        if cidr[1] == "0":
            prefix4 = 0
        if cidr[2] == "0":
            prefix6 = 0
        if prefix4 > 32 or prefix6 > 128:
            raise ValueError(f"{term[:40]} has a prefix that no address has")
    if not rest and name not in ("include", "exists"):
        return Mechanism(term, result, name, "", "", prefix4, prefix6)
    if not rest.startswith(":"):
        raise ValueError(f"{term[:40]} lacks its domain")
    domain = _domain_spec(rest[1:], term)
    return Mechanism(term, result, name, domain, "", prefix4, prefix6)


def _network(term: str, result: Qualified, name: str, rest: str) -> Mechanism:
    cidr = cast("re.Match[str]", _CIDR.search(rest))
    address, prefix = rest[1 : cidr.start()], cidr[1]
    bits = 32 if name == "ip4" else 128
    length = bits if prefix is None else int(prefix)
    kind = ipaddress.IPv4Address if name == "ip4" else ipaddress.IPv6Address
    try:
        # a zone is Python's, not the grammar's
        if not rest.startswith(":") or "%" in address or length > bits:
            raise ValueError
        kind(address)
    except ValueError:
        raise ValueError(f"{term[:60]} is no network") from None
    return Mechanism(term, result, name, "", address, length, length)


def _domain_spec(spec: str, term: str) -> str:
    """RFC 7208 §7.1: macros and visible characters, at the end a macro or a top label."""
    if not _macros_hold(_MACRO_STRING, spec):
        raise ValueError(f"{term[:40]} holds what is no macro")
    macros = list(_MACROS.finditer(spec))
    if any((macro[1] or "").lower() in _ONLY_IN_EXPLANATIONS for macro in macros if macro[1]):
        raise ValueError(f"{term[:40]} holds a macro of explanations")
    tail = spec[macros[-1].end() :] if macros else spec
    if macros and not tail:
        return spec
    _, dot, top = tail.removesuffix(".").rpartition(".")
    if not dot or not _TOP_LABEL.fullmatch(top):
        raise ValueError(f"{term[:40]} names no domain")
    return spec


def _macros_hold(grammar: re.Pattern[str], text: str) -> bool:
    if not grammar.fullmatch(text):
        return False
    # RFC 7208 §7.3: "If a DIGIT is specified, the value MUST be nonzero"
    return all(not macro[2] or int(macro[2]) for macro in _MACROS.finditer(text))


def explains(text: str) -> bool:
    """Whether a text fits the grammar of explanations (RFC 7208 §6.2)."""
    return bool(_macros_hold(_EXPLANATION, text))


def uses(spec: str, letters: str) -> bool:
    """Whether a macro of one of these letters stands in it."""
    return any((macro[1] or "-").lower() in letters for macro in _MACROS.finditer(spec))


def expanded(spec: str, value: Callable[[str], str]) -> str:
    """Expand the macros; `value` gives the text of a lower-case letter.  RFC 7208 §7.3."""
    return _MACROS.sub(lambda macro: _one(macro, value), spec)


def _one(macro: re.Match[str], value: Callable[[str], str]) -> str:
    letter, digits, reverse, delimiters = macro.groups()
    if letter is None:
        return {"%%": "%", "%_": " ", "%-": "%20"}[macro[0]]
    parts = re.split(f"[{re.escape(delimiters or '.')}]", value(letter.lower()))
    if reverse:
        parts.reverse()
    if digits:
        parts = parts[-int(digits) :]
    text = ".".join(parts)  # whatever they were split at
    return urllib.parse.quote(text, "~") if letter.isupper() else text


def shortened(name: str) -> str:
    """A name for the DNS: whole labels are taken from the left until it fits (§7.3)."""
    name = name.removesuffix(".")
    while len(name) > _NAME_MAX and "." in name:
        name = name.split(".", 1)[1]
    return name
