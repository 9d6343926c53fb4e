"""The types of the condition language, read from the facts' own annotations.

text, number (plain, or in octets or seconds), truth, choice (one of fixed words), list,
record (a fact or a source), listing (a named list).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Hashable
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from millrace.engine.mail.address import DomainName
from millrace.engine.mail.amount import Share
from millrace.engine.mail.session import IpAddress
from millrace.engine.options import Octets, Seconds
from millrace.engine.policy.listing import ListKind
from millrace.engine.policy.syntax import Unit

Place = Literal["", "domain", "address"]
Word = Literal["text", "number", "truth", "choice", "list", "record", "listing"]


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """One type; `choices` of a choice, `item` of a list, `record` is the class of a record.

    `unit` is that of a number, `place` what a text names, `holds` what a named list holds;
    a number is from `low` to `high`, and `whole` when it has no fraction.
    """

    word: Word
    choices: tuple[str, ...] = ()
    item: Kind | None = None
    record: type | None = None
    unit: Unit = ""
    holds: ListKind | None = None
    place: Place = ""
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False

    @property
    def texty(self) -> bool:
        """Whether its values are strings."""
        return self.word in ("text", "choice")

    @property
    def mailbox(self) -> bool:
        """Whether it is a record that names one address: a sender, a recipient, an author."""
        return self.record is not None and {"local", "domain"} <= fields_of(self.record).keys()

    @property
    def told(self) -> str:
        """What its values are, for a page about it."""
        if self.word == "choice":
            return " ".join(self.choices)
        if self.item is not None:
            return f"list of {self.item.told}"
        if self.record is not None:
            return f"{self.record.__name__}: " + ", ".join(fields_of(self.record))
        if self.unit:
            return f"{self.word} of {self.unit}"
        return f"{self.word}, 0 to 1" if self.high == 1 else self.word

    @property
    def shown(self) -> str:
        """What it is, in words."""
        if self.word == "listing":
            return "a named list"
        return {"octets": "a size", "seconds": "a time"}.get(self.unit, self.word)


TEXT = Kind("text")
NUMBER = Kind("number")
OCTETS = Kind("number", unit="octets", low=0)
SECONDS = Kind("number", unit="seconds")
TRUTH = Kind("truth")

_SIMPLE: dict[Any, Kind] = {
    str: TEXT,
    bool: TRUTH,
    int: Kind("number", whole=True),
    float: NUMBER,
    Seconds: SECONDS,
    Octets: OCTETS,
    Share: Kind("number", low=0, high=1),
    DomainName: Kind("text", place="domain"),
    IpAddress: Kind("text", place="address"),
}


def kind_of(hint: Any) -> Kind | None:  # noqa: ANN401 - a type, of any kind
    """The kind that an annotation stands for, or None when conditions cannot use it."""
    if isinstance(hint, Hashable) and hint in _SIMPLE:
        return _SIMPLE[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return kind_of(args[0])
    if origin in (Union, types.UnionType):
        left = [arg for arg in args if arg is not type(None)]
        return kind_of(left[0]) if len(left) == 1 else None
    if origin is Literal:
        return Kind("choice", tuple(str(arg) for arg in args))
    if origin in (tuple, frozenset, list):
        item = kind_of(args[0]) if args else None
        return Kind("list", item=item) if item else None
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return Kind("record", record=hint)
    return None


@functools.cache
def fields_of(record: Hashable) -> dict[str, Kind]:
    """The fields and properties of a record that conditions may name."""
    assert isinstance(record, type)
    hints = dict(get_type_hints(record, include_extras=True))
    for name, member in vars(record).items():
        if isinstance(member, property) and member.fget is not None:
            hints[name] = get_type_hints(member.fget, include_extras=True).get("return")
    kinds = {name: kind_of(hint) for name, hint in hints.items() if not name.startswith("_")}
    return {name: kind for name, kind in kinds.items() if kind is not None}
