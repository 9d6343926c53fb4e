"""The filter's side of a milter conversation, sans-IO.

Bytes from the MTA go into `receive`, which gives events; `send` gives the bytes of a
reply.  The negotiation is settled inside: write `answer()` when `Negotiate` comes out.
After any other event, ask `terms.replies_to(event.command)` whether a reply is due.

Fails: ProtocolError out of `receive`, after the events that came before the trouble;
close the connection then, and the MTA defers the mail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from millrace.engine.errors import Bug, ProtocolError
from millrace.engine.wire.milter import replies
from millrace.engine.wire.milter.codes import Command
from millrace.engine.wire.milter.events import Abort, Event, header, parse, respaced
from millrace.engine.wire.milter.order import ENDS_MAIL, State, order, out_of_order
from millrace.engine.wire.milter.packets import Packets
from millrace.engine.wire.milter.replies import Message
from millrace.engine.wire.milter.terms import Negotiate, Terms, Wants, agreed, negotiate

_UNSETTLED = Terms(0, 0, 0)
_HEADER = int(Command.HEADER)
_ADDING = (Command.HEADER, Command.BODY, Command.DATA, Command.UNKNOWN)


class MilterServer:
    """One connection from an MTA."""

    __slots__ = (
        "_answer",
        "_error",
        "_order",
        "_packets",
        "_respace",
        "_state",
        "_wants",
        "hushed",
        "offer",
        "terms",
    )

    def __init__(self, wants: Wants) -> None:
        self.terms = _UNSETTLED
        self.offer: Negotiate | None = None
        self.hushed = False  # nothing that only adds to a mail is to be answered
        self._answer: Negotiate | None = None
        self._wants = wants
        self._packets = Packets()
        self._state = State.NEW
        self._respace = False
        self._order = order(_UNSETTLED)
        self._error: ProtocolError | None = None

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
        if self._answer is None:
            raise Bug("the MTA has offered nothing yet")
        return self._answer.encode()

    def send(self, *messages: Message) -> bytes:
        """The bytes of some replies, in this order; Bug for what the terms do not grant."""
        return b"".join([replies.encode(message, self.terms) for message in messages])

    def _take(self, packets: list[tuple[int, bytes]], found: list[Event]) -> None:
        for command, payload in packets:
            following = self._order[self._state].get(command)
            if following is None:
                following = self._cut_short(command, found)
            if command == _HEADER:  # dozens in a mail: spared the table of parsers
                field = header(payload)
                found.append(respaced(field) if self._respace else field)
            else:
                event = parse(command, payload)
                if isinstance(event, Negotiate):
                    self._settle(event)
                found.append(event)
            self._state = following

    def _cut_short(self, command: int, found: list[Event]) -> State:
        # MAIL, HELO, CONNECT or QUIT in the middle of a mail: Postfix says HELO before ABORT
        if command not in ENDS_MAIL or not self.in_mail:
            raise ProtocolError(out_of_order(command, self._state))
        found.append(Abort())
        self._state = State.IDLE
        return self._order[State.IDLE][command]

    def _settle(self, offer: Negotiate) -> None:
        self.offer = offer
        self._answer = negotiate(offer, self._wants)
        self.terms = agreed(self._answer)
        self.hushed = not any(map(self.terms.replies_to, _ADDING))
        self._respace = not self.terms.leading_space
        self._order = order(self.terms)


def _broken_off(found: Sequence[Event], error: ProtocolError) -> Iterator[Event]:
    yield from found
    raise error
