"""What a filter is, read from its code: for `millrace filters` and the docs.

The head of its module says what it does, its signature when it runs and what it may touch,
its fields the options, its fact the words that policies may use.

Fails: `describe` raises what `shelf.find` raises: LookupError or ValueError.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from millrace.engine.mail.edits import Edited
from millrace.engine.mail.stage import Stage
from millrace.engine.options import Octets, Option, Seconds, options_of
from millrace.engine.pipeline import shelf
from millrace.engine.pipeline.contract import SOURCES, Ask, Contract, contract
from millrace.engine.policy.kinds import fields_of

_TYPES: dict[Any, str] = {
    str: "text", bool: "true or false", int: "whole number", float: "number",
    Seconds: "time", Octets: "size", Path: "path",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Word:
    """Something that policies may name: `spf.result`, what it is, and its choices."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a `[[filter]]`.

    `default` is as the file would say it, "" where it depends on the machine.
    """

    name: str
    type: str
    default: str
    required: bool
    help: str


@dataclass(frozen=True, slots=True)
class Description:
    """One filter; `stage` is the earliest at which it can run, `late` that it sees taken mail."""

    name: str
    title: str
    text: str
    purpose: str
    stage: Stage
    late: bool
    after: tuple[str, ...]
    ports: tuple[str, ...]
    settings: tuple[Setting, ...]
    fact: str
    words: tuple[Word, ...]


def describe(name: str) -> Description:
    """Read one filter of the shelf."""
    cls = shelf.find(name)
    found = contract(cls)
    head = inspect.getdoc(sys.modules[cls.__module__]) or ""
    title, _, text = head.partition("\n")
    return Description(
        name=name,
        title=title.strip(),
        text=text.strip(),
        purpose=inspect.getdoc(cls) or "",
        stage=_stage(found),
        late=any(ask.kind is Edited for ask in found.asks),
        after=tuple(_after(ask) for ask in found.facts),
        ports=tuple(ask.name for ask in found.ports),
        settings=tuple(_setting(option) for option in options_of(cls)),
        fact=(inspect.getdoc(found.gives) or "") if found.gives else "",
        words=tuple(_words(name, found.gives)) if found.gives else (),
    )


def _stage(found: Contract) -> Stage:
    stages = [SOURCES[ask.kind].stage for ask in found.sources]
    for ask in found.facts:
        stages += [_stage(giver) for giver in _givers(ask) if ask.need == "one"]
    return max(stages, default=Stage.CONNECT)


def _givers(ask: Ask) -> list[Contract]:
    contracts = [contract(shelf.find(name)) for name in shelf.names()]
    return [each for each in contracts if each.gives is ask.kind]


def _after(ask: Ask) -> str:
    given = [name for name in shelf.names() if contract(shelf.find(name)).gives is ask.kind]
    names = " or ".join(given) or ask.kind.__name__
    return names if ask.need == "one" else f"{names} (if there)"


def _setting(option: Option) -> Setting:
    known = not (option.required or option.computed)
    default = shown(option.default, option.type) if known else ""
    return Setting(option.name, _type(option.type), default, option.required, option.help)


def _type(hint: Any) -> str:  # noqa: ANN401 - an annotation, of any kind
    if get_origin(hint) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(hint))
    if get_origin(hint) in (tuple, frozenset, list):
        return f"list of {_type(get_args(hint)[0])}"
    if hint not in _TYPES and get_args(hint):
        return " or ".join(_type(arg) for arg in get_args(hint) if arg is not type(None))
    return _TYPES.get(hint, getattr(hint, "__name__", str(hint)))


def shown(value: object, hint: object = None) -> str:
    """A default as the file would say it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, frozenset, list)):
        return "[" + ", ".join(shown(each) for each in value) + "]"
    if hint is Seconds:
        return f'"{_amount(float(value), _TIMES)}"'  # type: ignore[arg-type]
    if hint is Octets:
        return f'"{_amount(float(value), _SIZES)}"'  # type: ignore[arg-type]
    return str(value) if isinstance(value, (int, float)) else f'"{value}"'


_TIMES = ((31557600, "y"), (86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))


def _amount(value: float, units: tuple[tuple[int, str], ...]) -> str:
    size, unit = next((u for u in units if value >= u[0] and value % u[0] == 0), units[-1])
    return f"{value / size:g}{unit}"


def _words(name: str, fact: type) -> list[Word]:
    return [Word(f"{name}.{field}", kind.told) for field, kind in fields_of(fact).items()]
