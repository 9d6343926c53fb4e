"""Domains and addresses in a condition, whatever way they are written there.

A fact holds one form: a domain in small letters, an address in its canonical text.  So a
constant that is compared with one is brought to that form (`'Example.ORG'`, a name in its
own script or in its `xn--` form, `'2001:DB8::1'`, `'::ffff:192.0.2.7'`), and a constant
that no such fact can equal is refused.

Fails: never; `refusal` says what is wrong with a constant.
"""

from __future__ import annotations

import re

from millrace.engine.mailauth.domains import ascii_domain, unicode_domain
from millrace.engine.policy import networks
from millrace.engine.policy.kinds import Kind

_WRONG = re.compile(r"[\s@*/]|^\.|\.\.")


def forms(kind: Kind | None, text: str) -> frozenset[str]:
    """The texts by which a fact of this kind may say the same."""
    if kind is None or not kind.place:
        return frozenset({text})
    return domain_forms(text) if kind.place == "domain" else frozenset({address_form(text)})


def domain_forms(text: str) -> frozenset[str]:
    """A domain in small letters, as a mail may write it: in its own script, or in ASCII."""
    plain = text.lower().removesuffix(".")
    if plain.isascii() and "xn--" not in plain:
        return frozenset({plain})
    found = ascii_domain(plain)
    return frozenset({plain, found, unicode_domain(found)} - {""})


def address_form(text: str) -> str:
    """An address as a peer's is written; the text itself where it is none."""
    return networks.canonical(text) or text


def refusal(kind: Kind, text: str, shown: str, *, denies: bool) -> tuple[str, str] | None:
    """Why no fact of this kind is ever this text, and what to write; None where one may be."""
    if not text:
        return None
    if kind.place == "address":
        word = "not in" if denies else "in"
        return None if networks.canonical(text) else _no_address(text, f"{shown} {word}")
    return _no_domain(text, shown) if _WRONG.search(text) else None


def _no_address(text: str, asked: str) -> tuple[str, str]:
    if networks.likely(text):
        return "an address never equals a network", f"Write {asked} '{text}'."
    hint = f"Write all of it: '192.0.2.7'.  A network: {asked} '192.0.2.0/24'."
    return f"{text!r} is no address", hint


def _no_domain(text: str, shown: str) -> tuple[str, str]:
    bare = text.strip().lstrip("*.@")
    sentence = f"{shown} can never be {text!r}"
    local, at, domain = bare.rpartition("@")
    if at and domain:
        owner = shown.rpartition(".")[0]
        hint = f"Write {owner}.local == '{local}' and {shown} == '{domain}'."
        return sentence, hint
    if text.strip().startswith((".", "*")) and bare and not _WRONG.search(bare):
        return sentence, f"Write under({shown}, '{bare}') for the domain and all below it."
    return sentence, f"Write a domain: {shown} == '{bare if _fits(bare) else 'example.org'}'."


def _fits(text: str) -> bool:
    return bool(ascii_domain(text)) and not _WRONG.search(text)
