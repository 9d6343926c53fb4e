"""The fixed functions of the condition language.

Each is bound at compile time: constants such as networks and patterns are read once, and
a wrong one is an error at load.  An absent argument gives an absent (or false) answer.

Fails: binding raises `Unbound` for a constant that cannot be used.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

from millrace.engine.policy import patterns, places
from millrace.engine.policy.closures import Run, Values, has_header, header_text, held
from millrace.engine.policy.kinds import NUMBER, TEXT, TRUTH, Kind
from millrace.engine.policy.networks import Networks


class Unbound(ValueError):
    """A constant that a function cannot use; `argument` counts from 0, -1 is the whole call."""

    def __init__(self, sentence: str, hint: str = "", argument: int = -1) -> None:
        super().__init__(sentence)
        self.sentence, self.hint, self.argument = sentence, hint, argument


@dataclass(frozen=True, slots=True)
class Function:
    """One of the fixed functions: how it is written, what it takes, gives and tells.

    `asks` is a source that it reads beside its arguments.
    """

    usage: str
    least: int
    most: int
    takes: tuple[str, ...]
    gives: Kind
    bind: Callable[[list[Run], list[ast.expr]], Run]
    help: str
    asks: str = ""


_WORD = re.compile(r"[\w-]+")
_FIELD = re.compile(r"[!-9;-~]{1,76}")  # RFC 5322 §2.2


def _lower(runs: list[Run], arguments: list[ast.expr]) -> Run:
    return lambda values: None if (text := runs[0](values)) is None else text.lower()


def _length(runs: list[Run], arguments: list[ast.expr]) -> Run:
    return lambda values: None if (value := runs[0](values)) is None else len(value)


def _least(runs: list[Run], arguments: list[ast.expr]) -> Run:
    return _chosen(min, runs)


def _most(runs: list[Run], arguments: list[ast.expr]) -> Run:
    return _chosen(max, runs)


def _chosen(choose: Callable[[list[float]], float], runs: list[Run]) -> Run:
    def run(values: Values) -> float | None:
        known = [value for each in runs if (value := each(values)) is not None]
        return choose(known) if len(known) == len(runs) else None

    return run


def _constants(arguments: list[ast.expr], usage: str) -> list[str]:
    """The texts after the first argument."""
    found = [part.value for part in arguments if isinstance(part, ast.Constant)]
    if len(found) != len(arguments):
        raise Unbound(f"it is written {usage}")
    return [str(value) for value in found]


def _under(runs: list[Run], arguments: list[ast.expr]) -> Run:
    domains = [
        d.lower().strip(".") for d in _constants(arguments[1:], "under(NAME, 'example.org')")
    ]
    for at, domain in enumerate(domains, 1):
        if not domain or "@" in domain or " " in domain:
            raise Unbound(f"{domain!r} is no domain", "under(NAME, 'example.org')", at)
    exact = frozenset(form for domain in domains for form in places.domain_forms(domain))
    suffixes = tuple("." + domain for domain in exact)

    def holds(name: str) -> bool:
        name = name.lower().removesuffix(".")
        return name in exact or name.endswith(suffixes)

    return held(holds, runs[0])


def _within(runs: list[Run], arguments: list[ast.expr]) -> Run:
    usage = "within(peer.ip, '192.0.2.0/24')"
    texts = _constants(arguments[1:], usage)
    for at, text in enumerate(texts, 1):
        try:
            Networks([text])
        except ValueError as error:
            raise Unbound(str(error), usage, at) from None
    return held(Networks(texts).holds, runs[0])


def _matches(runs: list[Run], arguments: list[ast.expr]) -> Run:
    (pattern,) = _constants(arguments[1:], "matches(TEXT, 'regular expression')")
    try:
        return held(patterns.search(pattern), runs[0])
    except patterns.Missing as missing:
        raise Unbound(str(missing), f"Install it: {patterns.INSTALL}") from None
    except patterns.Unreadable as unreadable:
        hint = "The syntax: https://github.com/google/re2/wiki/Syntax"
        raise Unbound(str(unreadable), hint, 1) from None


def _header(runs: list[Run], arguments: list[ast.expr]) -> Run:
    return header_text(_field_name(arguments, "header('List-Id')"))


def _has_header(runs: list[Run], arguments: list[ast.expr]) -> Run:
    return has_header(_field_name(arguments, "has_header('List-Id')"))


def _field_name(arguments: list[ast.expr], usage: str) -> bytes:
    given = arguments[0].value if isinstance(arguments[0], ast.Constant) else None
    if not isinstance(given, str):
        bare = ast.unparse(arguments[0]).replace(" - ", "-")
        meant = usage.replace("List-Id", bare) if _WORD.fullmatch(bare) else usage
        raise Unbound("a header field is named by a text in quotes", f"Write {meant}.", 0)
    if not _FIELD.fullmatch(given):
        bare = given.strip().removesuffix(":")
        hint = f"Write {usage.replace('List-Id', bare if _FIELD.fullmatch(bare) else 'List-Id')}."
        raise Unbound(f"{given!r} is no name of a header field", hint, 0)
    return given.lower().encode("ascii")


FUNCTIONS: dict[str, Function] = {
    "lower": Function(
        "lower(TEXT)", 1, 1, ("text", "choice"), TEXT, _lower, "the text in small letters"
    ),
    "len": Function(
        "len(TEXT or LIST)", 1, 1, ("text", "choice", "list"), NUMBER, _length,
        "how many characters, or entries",
    ),
    "min": Function("min(NUMBER, NUMBER, …)", 2, 8, ("number",), NUMBER, _least, "the least"),
    "max": Function("max(NUMBER, NUMBER, …)", 2, 8, ("number",), NUMBER, _most, "the greatest"),
    "under": Function(
        "under(NAME, 'example.org', …)", 2, 64, ("text",), TRUTH, _under,
        "whether a name is one of the domains, or below one",
    ),
    "within": Function(
        "within(peer.ip, '192.0.2.0/24', …)", 2, 64, ("text",), TRUTH, _within,
        "whether an address is in one of the networks",
    ),
    "matches": Function(
        "matches(TEXT, 'regular expression')", 2, 2, ("text", "choice"), TRUTH, _matches,
        "whether the pattern (of RE2) is found anywhere in the text",
    ),
    "header": Function(
        "header('List-Id')", 1, 1, ("text",), TEXT, _header,
        "the topmost header field of that name, decoded, at most 1,000 characters", "headers",
    ),
    "has_header": Function(
        "has_header('List-Id')", 1, 1, ("text",), TRUTH, _has_header,
        "whether the mail has a header field of that name, be it empty", "headers",
    ),
}  # fmt: skip
