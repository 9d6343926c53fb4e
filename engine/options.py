"""From a table of TOML to a typed, frozen dataclass, strictly.

The fields of the dataclass are the keys; their annotations are the types:
`Seconds` reads "90s", "5m", "7y"; `Octets` reads "25MiB"; `Literal` is a choice;
tuples and frozensets read arrays.  `Annotated[T, "help"]` carries the help text.

Fails: `Misconfigured` with every fault of the table at once, never the first alone.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from millrace.engine.document import Document, Path_, meant
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.mail.amount import Octets as Octets
from millrace.engine.mail.amount import Seconds as Seconds

T = TypeVar("T")

SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31557600}
OCTETS = {
    "B": 1,
    "KB": 1000,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}
_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d+)?)\s*([A-Za-z]+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """One key that a table may hold; `computed` when its default is this machine's."""

    name: str
    type: Any
    help: str
    default: object
    required: bool
    computed: bool = False


class Unfit(ValueError):
    """A value that does not fit its type; the words say what would."""


def options_of(cls: type) -> tuple[Option, ...]:
    """The keys of a dataclass, in order."""
    return tuple(_options(cls))


def _options(cls: type) -> Iterator[Option]:
    if not dataclasses.is_dataclass(cls):
        return  # a class without fields has no keys
    hints = get_type_hints(cls, include_extras=True)
    for entry in dataclasses.fields(cls):
        hint, words = hints[entry.name], ""
        if get_origin(hint) is ClassVar or not entry.init:
            continue
        if get_origin(hint) is Annotated:
            hint, words = get_args(hint)[0], str(get_args(hint)[1])
        default: object = entry.default
        if entry.default_factory is not dataclasses.MISSING:
            default = entry.default_factory()
        computed = entry.default_factory is not dataclasses.MISSING
        yield Option(entry.name, hint, words, default, default is dataclasses.MISSING, computed)


def build(cls: type[T], table: Mapping[str, Any], document: Document, path: Path_) -> T:
    """An instance of `cls` from `table`, which stands at `path` of `document`."""
    known = {option.name: option for option in options_of(cls)}
    faults: list[Fault] = []
    values: dict[str, object] = {}
    for key, value in table.items():
        if key not in known:
            faults.append(document.fault((*path, key), f"unknown key '{key}'", meant(key, known)))
            continue
        try:
            values[key] = converted(value, known[key].type)
        except Unfit as unfit:
            faults.append(document.fault((*path, key), f"{key}: {unfit}", offset=0))
    missing = [o for o in known.values() if o.required and o.name not in table]
    faults += [document.fault(path, f"'{o.name}' is missing here", _needed(o)) for o in missing]
    if faults:
        raise Misconfigured(*faults)
    try:
        return cls(**values)
    except ValueError as error:  # a filter's own __post_init__ has the last word
        raise Misconfigured(document.fault(path, str(error))) from None


def _needed(option: Option) -> str:
    """What to write for a key that is missing."""
    hint, choices = option.type, ()
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        choices = get_args(hint)
    written = _EXAMPLES.get(hint, '["…"]' if get_origin(hint) else '"…"')
    if choices:
        written = f'"{choices[0]}"' if isinstance(choices[0], str) else str(choices[0])
    lines = [f"Write {option.name} = {written}" + (f": {option.help}." if option.help else ".")]
    lines += ["one of: " + " ".join(map(str, choices))] if choices else []
    return "\n".join(lines)


def converted(value: object, hint: Any) -> object:  # noqa: ANN401 - a type, of any kind
    """The value as `hint` wants it; raises `Unfit`."""
    origin = get_origin(hint)
    if origin is Annotated:
        return converted(value, get_args(hint)[0])
    if origin in (Union, types.UnionType):
        return _either(value, [arg for arg in get_args(hint) if arg is not type(None)])
    if origin is Literal:
        return _choice(value, get_args(hint))
    if origin in (tuple, frozenset, list):
        if not isinstance(value, list):
            raise Unfit(f'wants a list such as ["…"], not {value!r}')
        return origin(converted(entry, get_args(hint)[0]) for entry in value)
    reader = _READERS.get(hint)
    if reader is None:
        raise Unfit(f"cannot be set from a file ({hint})")
    return reader(value)


def _either(value: object, hints: list[Any]) -> object:
    for hint in hints[:-1]:
        try:
            return converted(value, hint)
        except Unfit:
            continue
    return converted(value, hints[-1])


def _choice(value: object, choices: tuple[Any, ...]) -> object:
    if value in choices:
        return value
    words = meant(str(value), [str(choice) for choice in choices])
    raise Unfit(f"can never be {value!r}; " + words.replace("\n", "; "))


def _exactly(kind: type, words: str) -> Callable[[object], object]:
    def read(value: object) -> object:
        if isinstance(value, kind) and not (kind is not bool and isinstance(value, bool)):
            return value
        raise Unfit(f"wants {words}, not {value!r}")

    return read


def _number(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise Unfit(f"wants a number, not {value!r}")


def seconds(value: object) -> Seconds:
    """Read a time such as "5m"; a bare number has no unit, and that is refused."""
    return Seconds(_amount(value, SECONDS, 'a time such as "90s", "5m" or "7d"'))


def octets(value: object) -> Octets:
    """Read a size such as "25MiB"."""
    return Octets(int(_amount(value, OCTETS, 'a size such as "64KiB" or "25MiB"')))


def _amount(value: object, units: Mapping[str, float], words: str) -> float:
    found = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise Unfit(f"wants {words}, not {value!r}")
    if found[2] not in units:
        raise Unfit(f"wants {words}; the unit {found[2]!r} is none of {' '.join(units)}")
    return float(found[1]) * units[found[2]]


def _path(value: object) -> Path:
    if isinstance(value, str) and value:
        return Path(value)
    raise Unfit(f"wants a path, not {value!r}")


_READERS: dict[Any, Callable[[object], object]] = {
    str: _exactly(str, "text in quotes"),
    bool: _exactly(bool, "true or false"),
    int: _exactly(int, "a whole number"),
    float: _number,
    Seconds: seconds,
    Octets: octets,
    Path: _path,
    Any: lambda value: value,
}
_EXAMPLES: dict[Any, str] = {
    bool: "true",
    int: "20",
    float: "0.5",
    Seconds: '"5m"',
    Octets: '"25MiB"',
    Path: '"/path/of/it"',
}
