"""The words of the policy language, read from the code that understands them.

Facts and sources with their fields, named lists, functions, units, actions and keys; the
same data for people and for programs.

Fails: a filter of the shelf that cannot be read is left out; nothing else.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from millrace.engine.mail.verdict import ACTIONS
from millrace.engine.options import OCTETS, SECONDS
from millrace.engine.pipeline import shelf
from millrace.engine.pipeline.contract import HIDDEN, SOURCES, contract
from millrace.engine.pipeline.describe import describe
from millrace.engine.policy.functions import FUNCTIONS
from millrace.engine.policy.keys import FILE_KEYS, RULE_KEYS, WEIGHT_KEYS, Key
from millrace.engine.policy.kinds import Kind, fields_of
from millrace.engine.policy.listing import EXAMPLES

DEPTH = 3  # records inside records: dmarc.aligned.spf
OPERATORS = ("and", "or", "not", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "+", "-",
             "*", "/")  # fmt: skip
LISTS = EXAMPLES


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its type in words, its unit, and the words that a choice may be."""

    name: str
    type: str
    unit: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Name:
    """A fact or source: who gives it, when it is known at the earliest, what it tells."""

    name: str
    giver: str
    stage: str
    recipient: bool
    help: str
    fields: tuple[Field, ...]


def names() -> tuple[Name, ...]:
    """Every name that conditions may use, sources first."""
    sources = (
        Name(
            source.word, "the wire", source.stage.name, source.word == "recipient",
            _first_line(kind), tuple(_fields(source.word, kind, DEPTH)),
        )
        for kind, source in SOURCES.items()
        if source.word not in HIDDEN
    )  # fmt: skip
    score = Name("score", "the weights", "", False, "The sum of the terms.",
                 (Field("score", "number"),))  # fmt: skip
    return (*sources, *_facts(), score)


def as_data() -> dict[str, Any]:
    """The whole reference as plain data."""
    return {
        "names": [asdict(each) for each in names()],
        "lists": [{"kind": kind, "example": example} for kind, example in LISTS.items()],
        "functions": [
            {"name": name, "usage": each.usage, "takes": each.takes, "gives": each.gives.told,
             "help": each.help}
            for name, each in FUNCTIONS.items()
        ],
        "operators": OPERATORS,
        "units": {"octets": OCTETS, "seconds": SECONDS},
        "actions": list(ACTIONS),
        "keys": {
            "": _keys(FILE_KEYS),
            "rule": _keys(RULE_KEYS),
            "weight": _keys(WEIGHT_KEYS),
        },
    }  # fmt: skip


def _facts() -> Iterator[Name]:
    for name in shelf.names():
        try:
            found, told = contract(shelf.find(name)), describe(name)
        except (ValueError, ImportError):
            continue
        if found.gives is None:
            continue
        own = any(SOURCES[ask.kind].word == "recipient" for ask in found.sources)
        fields = tuple(_fields(name, found.gives, DEPTH))
        stage = told.stage.name if not told.late else "SETTLED"
        yield Name(name, "filter", stage, own, _first_line(found.gives), fields)


def _fields(name: str, record: type, depth: int) -> Iterator[Field]:
    for each, kind in fields_of(record).items():
        word = f"{name}.{each}"
        if kind.word == "record" and kind.record is not None and depth:
            yield from _fields(word, kind.record, depth - 1)
        else:
            yield Field(word, _type(kind), kind.unit, kind.choices)


def _type(kind: Kind) -> str:
    return "choice" if kind.word == "choice" else kind.told


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0]


def _keys(table: Mapping[str, Key]) -> list[dict[str, Any]]:
    return [{"name": name, **asdict(key)} for name, key in table.items()]
