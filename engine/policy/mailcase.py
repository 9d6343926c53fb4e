"""Cases of a policy's tests that are told by a real mail, with a world of its own.

    [[case]]
    name   = "the bank's own mail passes"
    mail   = "mails/bank.eml"               # beside the tests; without it the envelope alone
    ip     = "192.0.2.7"
    helo   = "mx.bank.example"
    from   = "billing@bank.example"
    to     = ["ann@example.net"]
    dns    = "mails/bank.json"              # or a table; what is not there does not exist
    now    = 2026-11-23T12:00:00Z
    scanner = "Eicar"                       # what the virus scanner finds; by default nothing
    state  = [{ now = 2026-11-23T11:00:00Z }]
    expect = "pass"

`state` lists the visits before this one: each is the same mail, but for what its table says.

Fails: `read` adds a fault for each thing that does not fit.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from millrace.engine.document import Document, Path_, meant
from millrace.engine.errors import Fault

KEYS = ("mail", "ip", "helo", "from", "to", "login", "dns", "now", "scanner", "state")
TIME = "a time such as 2026-11-23T12:00:00Z"
_VISIT = tuple(key for key in KEYS if key not in ("state", "dns"))


@dataclass(frozen=True, slots=True)
class MailCase:
    """What `rehearsal.Case.read` takes: this visit, and those before it, the earliest first."""

    visit: Mapping[str, Any]
    before: tuple[Mapping[str, Any], ...] = ()


def read(
    document: Document, path: Path_, table: Mapping[str, Any], faults: list[Fault]
) -> MailCase | None:
    """The mail of a case, or None for a case that is told by facts."""
    if not any(key in table for key in KEYS) or at_a_time(table):
        return None
    if "given" in table:
        hint = "Facts stand alone; a mail is measured."
        faults.append(document.fault((*path, "given"), "'given' beside a mail", hint))
    if "now" not in table:
        hint = "Give its time, so that it means the same tomorrow:   now = 2026-11-23T12:00:00Z"
        faults.append(document.fault(path, "a mail's case has no 'now'", hint))
    visit = _visit(document, path, table, KEYS, faults) | {"state": "keep"}
    visit = {"dns": {}, "scanner": "", **visit}
    before = table.get("state", [])
    if not isinstance(before, list) or not all(isinstance(each, dict) for each in before):
        hint = "state = [{ now = 2026-11-23T11:00:00Z }]"
        faults.append(document.fault((*path, "state"), "state lists earlier visits", hint))
        return None
    visits = []
    for each in before:
        unknown = [key for key in each if key not in _VISIT]
        faults += [
            document.fault((*path, "state"), f"state: unknown key '{key}'", meant(key, _VISIT))
            for key in unknown
        ]
        visits.append(visit | _visit(document, (*path, "state"), each, _VISIT, faults))
    return MailCase(visit, tuple(visits))


def at_a_time(table: Mapping[str, Any]) -> bool:
    """Whether a case is told by facts, and by the time at which rules expire."""
    return "given" in table and [key for key in KEYS if key in table] == ["now"]


def moment(value: object) -> float:
    """Unix seconds of a case's `now`; without a zone it is UTC."""
    read = datetime.datetime.fromisoformat(_timed(value))
    return (read if read.tzinfo else read.replace(tzinfo=datetime.UTC)).timestamp()


def _visit(
    document: Document,
    path: Path_,
    table: Mapping[str, Any],
    keys: tuple[str, ...],
    faults: list[Fault],
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in keys:
        if key not in table or key == "state":
            continue
        fits, words = _WANTED[key]
        if not fits(table[key]):
            faults.append(document.fault((*path, key), f"{key} wants {words}"))
        found[key] = _timed(table[key]) if key == "now" else table[key]
    return found


def _timed(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _texts(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(map(_text, value)))


def _world(value: object) -> bool:
    return isinstance(value, (str, dict))


def is_time(value: object) -> bool:
    """Whether it is a time, or is written as one."""
    if isinstance(value, datetime.datetime):
        return True
    try:
        return isinstance(value, str) and bool(datetime.datetime.fromisoformat(value))
    except ValueError:
        return False


_WANTED: dict[str, tuple[Callable[[object], bool], str]] = {
    "mail": (_text, "the path of a mail, in quotes"),
    "ip": (_text, "an address in quotes"),
    "helo": (_text, "a name in quotes"),
    "from": (_text, 'an address in quotes; "" is the null sender'),
    "to": (_texts, "an address in quotes, or a list of them"),
    "login": (_text, "a user's name in quotes"),
    "dns": (_world, "the path of a zone, or a table of names"),
    "scanner": (_text, "the name of what it finds, in quotes"),
    "now": (is_time, TIME),
}
