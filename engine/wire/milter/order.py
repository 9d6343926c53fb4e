"""The order of a milter conversation, as a table.

libmilter forgets a mail that is cut short by the next MAIL, HELO or QUIT, and passes over
what comes out of order, without the reply that the MTA may be waiting for.  Here the first
is an implied Abort; the second is an error, since then the two sides disagree about which
mail they speak of, and a closed connection makes every MTA defer it.

A step that was declined may be missing; one that was asked for may not: a mail never
begins without the MAIL, nor a connection without the CONNECT, that the filter wants.

    NEW ─O─► FRESH ─C─► IDLE ─M─► ENVELOPE ─L─► HEADERS ─N─► BODY ─E─► IDLE
              ▲──────────K───────────┴── A, or M H C K Q: an Abort, then itself
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import cache

from millrace.engine.wire.milter.codes import Command
from millrace.engine.wire.milter.terms import Terms


class State(IntEnum):
    """How far the conversation has come; a mail is open from ENVELOPE on."""

    NEW = 0
    FRESH = 1
    IDLE = 2
    CLOSED = 3
    ENVELOPE = 4
    HEADERS = 5
    BODY = 6


Order = tuple[Mapping[int, State], ...]  # by state: what may come, and the state it leads to

_DUE = {
    State.NEW: "the negotiation",
    State.FRESH: "the connection",
    State.IDLE: "a new mail",
    State.CLOSED: "nothing more",
    State.ENVELOPE: "the rest of the envelope",
    State.HEADERS: "the rest of the header",
    State.BODY: "the rest of the body",
}
ENDS_MAIL = frozenset(b"CHMQK")

_LEAVES = {
    Command.QUIT: State.CLOSED,
    Command.QUIT_NEW_CONNECTION: State.FRESH,
}
_BODY = {
    Command.BODY: State.BODY,
    Command.END_OF_MESSAGE: State.IDLE,
}
_HEADERS = {
    Command.HEADER: State.HEADERS,
    Command.END_OF_HEADERS: State.BODY,
    **_BODY,
}
_ENVELOPE = {
    # RCPT may follow DATA again: a peer whose DATA was refused may try once more
    Command.RCPT: State.ENVELOPE,
    Command.DATA: State.ENVELOPE,
    **_HEADERS,
}
_IDLE = {
    Command.CONNECT: State.IDLE,
    Command.HELO: State.IDLE,
    Command.MAIL: State.ENVELOPE,
}


def order(terms: Terms) -> Order:
    """What may follow in which state, under these terms."""
    return _order(terms.sends(Command.CONNECT), terms.sends(Command.MAIL))


@cache
def _order(connect: bool, mail: bool) -> Order:
    idle = _IDLE if mail else {**_IDLE, **_ENVELOPE}
    table: dict[State, Mapping[Command, State]] = {
        State.FRESH: {Command.CONNECT: State.IDLE} if connect else idle,
        State.IDLE: idle,
        State.ENVELOPE: _ENVELOPE,
        State.HEADERS: _HEADERS,
        State.BODY: _BODY,
    }
    rows = {state: _row(state, steps) for state, steps in table.items()}
    rows[State.NEW] = {Command.NEGOTIATE: State.FRESH, Command.QUIT: State.CLOSED}
    return tuple(rows.get(state, {}) for state in State)


def _row(state: State, steps: Mapping[Command, State]) -> Mapping[int, State]:
    asides = {
        Command.MACROS: state,
        Command.UNKNOWN: state,
        Command.ABORT: min(state, State.IDLE),
    }
    leaves = {} if state >= State.ENVELOPE else _LEAVES  # there an Abort comes first
    return {int(command): to for command, to in {**steps, **asides, **leaves}.items()}


def out_of_order(command: int, state: State) -> str:
    """The sentence for a command that may not come now."""
    try:
        name = Command(command).name.lower().replace("_", " ")
    except ValueError:
        return f"A milter command {bytes((command,))!r} does not exist"
    return f"The MTA said {name} where {_DUE[state]} was due"
