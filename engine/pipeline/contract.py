"""A filter's signature is its whole contract.

    def run(self, helo: Helo, spf: Spf | None, dns: Dns) -> Finding[Greeting]

What `run` asks for says when the filter runs, after whom, and what it may touch; what
it returns is its fact.  A return type `Finding[F]` may carry advice and edits; a bare
fact cannot, so nobody has to wait for its answer.

A filter that must read the whole body may have a second method, `listeners(self, headers)`:
what shall hear a large body while it arrives, by the key under which `body.heard` keeps it.

A filter whose options decide what it must know may have a method `chosen(self)`: the filter
that runs in its place, with a signature of its own and the same fact.

Fails: `contract` raises ValueError for a signature that cannot be kept.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from millrace.engine import ports
from millrace.engine.mail.author import Author
from millrace.engine.mail.edits import Edited
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.finding import Fact, Finding
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Login, Peer, Tls
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.verdict import Verdict

Need = Literal["one", "maybe", "many"]


@dataclass(frozen=True, slots=True)
class Source:
    """Something that the wire tells us: its word in conditions, and when it is known."""

    word: str
    stage: Stage


SOURCES: dict[type, Source] = {
    Peer: Source("peer", Stage.CONNECT),
    Helo: Source("helo", Stage.HELO),
    Tls: Source("tls", Stage.MAIL),
    Login: Source("login", Stage.MAIL),
    Sender: Source("sender", Stage.MAIL),
    Recipient: Source("recipient", Stage.RCPT),
    Envelope: Source("envelope", Stage.HEADERS),
    Headers: Source("headers", Stage.HEADERS),
    Author: Source("from", Stage.HEADERS),
    Message: Source("message", Stage.BODY),
    Verdict: Source("verdict", Stage.SETTLED),
    Edited: Source("edited", Stage.SETTLED),
}
HIDDEN = ("verdict", "edited", "envelope")  # words that conditions cannot use
PORTS: dict[type, str] = {
    ports.Dns: "dns",
    ports.State: "state",
    ports.Scanner: "scanner",
    ports.Store: "store",
    ports.Classifier: "classifier",
    ports.Keys: "keys",
    ports.Clock: "clock",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """One parameter of `run`: its name, the type, and whether it may be absent."""

    name: str
    kind: type
    need: Need


@dataclass(frozen=True, slots=True)
class Contract:
    """What a filter asks for and gives; `advises` when it can do more than state a fact.

    `waits` for the world; `listens` to large bodies while they arrive.
    """

    asks: tuple[Ask, ...]
    gives: type | None
    advises: bool
    waits: bool
    listens: bool = False

    @property
    def facts(self) -> tuple[Ask, ...]:
        """The asks that other filters answer."""
        return tuple(ask for ask in self.asks if issubclass(ask.kind, Fact))

    @property
    def sources(self) -> tuple[Ask, ...]:
        """The asks that the wire answers."""
        return tuple(ask for ask in self.asks if ask.kind in SOURCES)

    @property
    def ports(self) -> tuple[Ask, ...]:
        """The asks that adapters answer."""
        return tuple(ask for ask in self.asks if ask.kind in PORTS)


@functools.cache
def contract(cls: Hashable) -> Contract:
    """Read the contract of a filter class; ValueError says what cannot be kept."""
    run = getattr(cls, "run", None)
    if run is None:
        raise ValueError("has no method run()")
    try:
        hints = get_type_hints(run)
    except (NameError, TypeError) as error:
        raise ValueError(f"run() has an annotation that cannot be read: {error}") from None
    returned = hints.pop("return", None)
    parameters = list(inspect.signature(run).parameters.values())[1:]
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            bare = str(parameter.replace(annotation=parameter.empty))
            raise ValueError(f"run() asks for '{bare}'; every ask is a parameter of its own")
    asks = tuple(_ask(parameter.name, hints.get(parameter.name)) for parameter in parameters)
    gives, advises = _gives(returned)
    waits, listens = inspect.iscoroutinefunction(run), callable(getattr(cls, "listeners", None))
    return Contract(asks, gives, advises, waits, listens)


def chosen(made: Any) -> Any:  # noqa: ANN401 - a filter, of any class
    """The filter that runs, by the options of this one."""
    return made.chosen() if callable(getattr(made, "chosen", None)) else made


def _ask(name: str, hint: Any) -> Ask:  # noqa: ANN401 - an annotation, of any kind
    kind, need = hint, "one"
    if get_origin(hint) is tuple:
        kind, need = get_args(hint)[0], "many"
    elif get_origin(hint) in (Union, types.UnionType):
        kinds = [arg for arg in get_args(hint) if arg is not type(None)]
        if len(kinds) > 1:
            raise ValueError(f"run() asks for '{name}' of two kinds; one kind, or one and None")
        kind, need = kinds[0], "maybe"
    known = kind in SOURCES or kind in PORTS or (isinstance(kind, type) and issubclass(kind, Fact))
    if not known:
        shown = getattr(kind, "__name__", kind)
        raise ValueError(f"run() asks for '{name}: {shown}', which is no source, fact or port")
    if need == "many" and not issubclass(kind, Fact):
        raise ValueError(f"run() asks for many {kind.__name__}; only facts come in tuples")
    return Ask(name, kind, need)  # type: ignore[arg-type]


def _gives(returned: Any) -> tuple[type | None, bool]:  # noqa: ANN401
    if get_origin(returned) is Finding:
        fact = get_args(returned)[0]
        if isinstance(fact, type) and issubclass(fact, Fact):
            return (fact if fact is not Fact else None), True
    if returned is Finding:
        return None, True
    if isinstance(returned, type) and issubclass(returned, Fact):
        return returned, False
    raise ValueError("run() must say what it returns: a Fact, or Finding[Fact]")
