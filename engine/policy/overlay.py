"""Overlays: whole rules that take the place of a policy's own, for some mail only.

    # policies/overlays/acme.toml
    policy = "default"                       # whose rules; by default "default"
    for    = { recipient = [".acme.example", "ann@other.example"] }
    drop   = ["greylist"]                    # rules that do not count here

    [[rule]]
    name = "spam-likely"                     # takes the place of the rule of that name, whole
    when = "score >= 12"
    then = "tag"

`for` names recipients, logins (`ann`, `@acme.example`) or listeners (by address); all its keys must
fit, any of a list, and of several tables one.  Of overlays that fit, the first by name counts.

Fails: `load` raises `Misconfigured` with every fault of the file.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from millrace.engine.document import Document, Path_, meant
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.policy import rules
from millrace.engine.policy.listing import Lists
from millrace.engine.policy.rule import Policy, Rule, Vocabulary

KEYS = ("title", "policy", "for", "drop", "rule")
WHO_KEYS = ("recipient", "login", "listener")
_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_WRITTEN = 'It is written for = { recipient = "example.org" }; also login and listener.'


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a mail is for, who is logged in, and at which door it came."""

    recipients: tuple[str, ...] = ()
    login: str = ""
    listener: str = ""


@dataclass(frozen=True, slots=True)
class Who:
    """One table of `for`; an empty key asks for nothing."""

    recipient: tuple[str, ...] = ()
    login: tuple[str, ...] = ()
    listener: tuple[str, ...] = ()

    def fits(self, subject: Subject) -> bool:
        """Whether all keys fit; of recipients, every one must."""
        if self.recipient and not subject.recipients:
            return False
        if not all(_address(self.recipient, each) for each in subject.recipients if self.recipient):
            return False
        if self.login and not (subject.login and _address(self.login, subject.login)):
            return False
        return not self.listener or subject.listener in self.listener


def _address(entries: Iterable[str], value: str) -> bool:
    """Whether one of `ann@example.org`, `@example.org`, `example.org`, `.example.org` has it."""
    local, at, name = value.lower().rpartition("@")
    domain = ascii_domain(name) if at else ""
    for entry in entries:
        if entry.startswith("."):
            found = f".{domain}".endswith(entry)
        elif entry.startswith("@"):
            found = domain == entry[1:]
        else:
            found = entry in (f"{local}@{domain}" if at else value.lower(), domain)
        if found:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Overlay:
    """One file, compiled against the policy that it lies over."""

    name: str
    who: tuple[Who, ...]
    rules: Mapping[str, Rule]
    dropped: frozenset[str]

    def fits(self, subject: Subject) -> bool:
        """Whether it counts for such a mail."""
        return any(who.fits(subject) for who in self.who)

    def changes(self, rule: str) -> bool:
        """Whether a rule of the policy is another one here, or none."""
        return rule in self.rules or rule in self.dropped

    def counts(self, rule: str, now: float) -> bool:
        """Whether that is so at a time, in Unix seconds: a rule that has expired changes none."""
        own = self.rules.get(rule)
        return own.ends > now if own else rule in self.dropped

    def asks(self, key: str) -> bool:
        """Whether it looks at recipients, logins or listeners."""
        return any(getattr(who, key) for who in self.who)


# --- from the file


def policy_of(document: Document) -> str:
    """The name of the policy that a file lies over."""
    return str(document.data.get("policy", "default"))


def load(
    document: Document, name: str, base: tuple[Document, Policy], words: Vocabulary, lists: Lists
) -> Overlay:
    """Read one file; `base` is the policy that it lies over, and its document."""
    faults: list[Fault] = []
    data = document.data
    faults += [
        document.fault((key,), f"unknown key '{key}'", meant(key, KEYS))
        for key in data
        if key not in KEYS
    ]
    who = tuple(_who(document, faults))
    known = [rule.name for rule in base[1].rules]
    dropped = _texts(document, ("drop",), data.get("drop", []), faults)
    faults += [_unknown(document, ("drop",), each, known) for each in dropped if each not in known]
    found: tuple[Rule, ...] = ()
    try:
        found = rules.load(_as_policy(document, base[0]), name, words, lists).rules
    except Misconfigured as error:
        faults += error.faults
    for at, rule in enumerate(found):
        if rule.name not in known:
            faults.append(_unknown(document, ("rule", at, "name"), rule.name, known))
        elif rule.name in dropped:
            sentence = f'"{rule.name}" is dropped and replaced'
            faults.append(Fault(sentence, "Take it out of drop.", rule.place))
    if faults:
        raise Misconfigured(*faults)
    return Overlay(name, who, {rule.name: rule for rule in found}, frozenset(dropped))


def _unknown(document: Document, path: Path_, name: str, known: list[str]) -> Fault:
    hint = meant(name, known) + "\nAn overlay replaces rules; a new one belongs into the policy."
    return document.fault(path, f'the policy has no rule "{name}"', hint.strip())


def _as_policy(document: Document, base: Document) -> Document:
    """The rules alone, with the policy's weights, so that `score` means the same."""
    view = copy.copy(document)
    view.data = {"rule": document.data.get("rule", []), "weight": base.data.get("weight", [])}
    return view


def _who(document: Document, faults: list[Fault]) -> Iterator[Who]:
    written: Any = document.data.get("for")
    tables = written if isinstance(written, list) else [written]
    if not written or not all(isinstance(table, dict) and table for table in tables):
        place = document.fault(("for",), "'for' must say for which mail the overlay is", _WRITTEN)
        faults.append(place)
        return
    for table in tables:
        for key in table:
            if key not in WHO_KEYS:
                hint = meant(key, WHO_KEYS)
                faults.append(document.fault(("for", key), f"unknown key '{key}'", hint))
        yield Who(*(_texts(document, ("for", key), table.get(key, ()), faults) for key in WHO_KEYS))


def _texts(document: Document, path: Path_, value: object, faults: list[Fault]) -> tuple[str, ...]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, (list, tuple)) or not all(isinstance(each, str) for each in found):
        sentence = f"'{path[-1]}' is a text in quotes, or a list of them"
        faults.append(document.fault(path, sentence, ""))
        return ()
    if path[-1] in ("recipient", "login"):
        return tuple(_mailbox(document, path, each, faults) for each in found)
    faults += [document.fault(path, f"'{path[-1]}' is empty") for each in found if not each]
    return tuple(found)


def _mailbox(document: Document, path: Path_, entry: str, faults: list[Fault]) -> str:
    """An entry as `_address` compares it: in lower case, the domain as the DNS has it."""
    local, at, name = entry.strip().lower().rpartition("@")
    if path[-1] == "login" and not at and name and "*" not in name:
        return name
    dot = "." if name.startswith(".") and not at else ""
    domain = ascii_domain(name.removeprefix(dot))
    if _DOMAIN.fullmatch(domain) and "*" not in local:
        return f"{local}{at}{dot}{domain}"
    hint = "ann@example.org, @example.org, example.org, or .example.org for all below it too"
    faults.append(document.fault(path, f"'{entry}' fits no {path[-1]}", f"Write {hint}."))
    return entry
