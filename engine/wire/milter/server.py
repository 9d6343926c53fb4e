"""The filter's side of a milter conversation, sans-IO.

Bytes from the MTA go into `receive`, which gives events; `send` gives the bytes of a
reply.  The negotiation is settled inside: write `answer()` when `Negotiate` comes out.
After any other event, ask `awaits(event.command)` whether a reply is due.

Fails: ProtocolError out of `receive`, after the events that came before the trouble;
close the connection then, and the MTA defers the mail.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from millrace.engine.errors import Bug, ProtocolError
from millrace.engine.wire.milter import replies
from millrace.engine.wire.milter.codes import Command
from millrace.engine.wire.milter.events import Abort, Event, header, parse, respaced
from millrace.engine.wire.milter.order import ENDS_MAIL, Order, State, order, out_of_order
from millrace.engine.wire.milter.packets import Packets
from millrace.engine.wire.milter.replies import Message
from millrace.engine.wire.milter.terms import Negotiate, Terms, Wants, agreed, negotiate

_UNSETTLED = Terms(0, 0, 0)
_HEADER, _NEGOTIATE = int(Command.HEADER), int(Command.NEGOTIATE)
_ADDING = frozenset({Command.HEADER, Command.BODY, Command.DATA, Command.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Agreement:
    """What follows from one offer and one `Wants`; the same for all connections of an MTA.

    `awaited` are the commands to which the MTA waits for a reply; `hushed` says that none
    of them only adds to a mail.
    """

    answer: bytes
    terms: Terms
    order: Order
    awaited: frozenset[int]
    hushed: bool


@functools.lru_cache(maxsize=64)
def agreement(version: int, actions: int, protocol: int, wants: Wants) -> Agreement:
    """Settle an offer; ProtocolError where it cannot be."""
    answer = negotiate(Negotiate(version, actions, protocol), wants)
    terms = agreed(answer)
    awaited = frozenset(int(c) for c in Command if terms.sends(c) and terms.replies_to(c))
    return Agreement(answer.encode(), terms, order(terms), awaited, not awaited & _ADDING)


_NOTHING = Agreement(b"", _UNSETTLED, order(_UNSETTLED), frozenset(), hushed=False)


class MilterServer:
    """One connection from an MTA."""

    __slots__ = (
        "_agreement",
        "_error",
        "_packets",
        "_respace",
        "_state",
        "_wants",
        "offer",
    )

    def __init__(self, wants: Wants) -> None:
        self.offer: Negotiate | None = None
        self._agreement = _NOTHING
        self._wants = wants
        self._packets = Packets()
        self._state = State.NEW
        self._respace = False
        self._error: ProtocolError | None = None

    @property
    def terms(self) -> Terms:
        """What was agreed on."""
        return self._agreement.terms

    @property
    def hushed(self) -> bool:
        """Whether nothing that only adds to a mail is to be answered."""
        return self._agreement.hushed

    def awaits(self, command: int) -> bool:
        """Whether the MTA waits for a reply to this command."""
        return command in self._agreement.awaited

    @property
    def in_mail(self) -> bool:
        """Whether a mail has begun that is neither whole nor aborted."""
        return self._state >= State.ENVELOPE

    def receive(self, data: bytes | bytearray | memoryview) -> Iterable[Event]:
        """Take what arrived, cut anywhere; give the events that it completes, in order.

        The work is done before this returns; ProtocolError comes when the iteration
        reaches the broken place, and again at every later call.
        """
        found: list[Event] = []
        if not self._error:
            try:
                self._take(self._packets.cut(data), found)
                self._error = self._packets.error
            except ProtocolError as error:
                self._error = error
        return _broken_off(found, self._error) if self._error else found

    def answer(self) -> bytes:
        """The bytes that end the negotiation."""
        if self.offer is None:
            raise Bug("the MTA has offered nothing yet")
        return self._agreement.answer

    def send(self, *messages: Message) -> bytes:
        """The bytes of some replies, in this order; Bug for what the terms do not grant."""
        terms = self._agreement.terms
        return b"".join([replies.encode(message, terms) for message in messages])

    def _take(self, packets: list[tuple[int, bytes]], found: list[Event]) -> None:
        rows, state = self._agreement.order, self._state
        for command, payload in packets:
            following = rows[state].get(command)
            if following is None:
                following = self._cut_short(command, found)
            if command == _HEADER:  # dozens in a mail: spared the table of parsers
                field = header(payload)
                found.append(respaced(field) if self._respace else field)
            else:
                event = parse(command, payload)
                if command == _NEGOTIATE:
                    self._settle(event)
                    rows = self._agreement.order
                found.append(event)
            self._state = state = following

    def _cut_short(self, command: int, found: list[Event]) -> State:
        # MAIL, HELO, CONNECT or QUIT in the middle of a mail: Postfix says HELO before ABORT
        if command not in ENDS_MAIL or not self.in_mail:
            raise ProtocolError(out_of_order(command, self._state))
        found.append(Abort())
        self._state = State.IDLE
        return self._agreement.order[State.IDLE][command]

    def _settle(self, offer: Event) -> None:
        assert isinstance(offer, Negotiate)
        self._agreement = agreement(offer.version, offer.actions, offer.protocol, self._wants)
        self.offer = offer
        self._respace = not self._agreement.terms.leading_space


def _broken_off(found: Sequence[Event], error: ProtocolError) -> Iterator[Event]:
    yield from found
    raise error
