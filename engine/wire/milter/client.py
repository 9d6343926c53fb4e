"""The MTA's side of a milter conversation, sans-IO: for tests, trials and load.

`open` gives the first bytes; `send` those of an event, b"" when the terms leave it out;
`waits_for` says whether the filter will answer it.  `receive` gives the replies.

Fails: ProtocolError out of `receive` where Postfix or Sendmail would hang up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from millrace.engine.errors import ProtocolError
from millrace.engine.wire.milter import events, replies
from millrace.engine.wire.milter.codes import VERSION_BEST
from millrace.engine.wire.milter.events import Event
from millrace.engine.wire.milter.packets import Packets
from millrace.engine.wire.milter.replies import Message
from millrace.engine.wire.milter.terms import Negotiate, Terms, accepted

POSTFIX = Negotiate(VERSION_BEST, 0x1FF, 0x1FFFFF)  # Sendmail 8.17 offers the very same


class MilterClient:
    """One connection to a filter."""

    __slots__ = ("_error", "_packets", "offer", "terms")

    def __init__(self, offer: Negotiate = POSTFIX) -> None:
        self.offer = offer
        self.terms: Terms | None = None
        self._packets = Packets()
        self._error: ProtocolError | None = None

    def open(self) -> bytes:
        """The offer."""
        return self.offer.encode()

    def send(self, event: Event) -> bytes:
        """The packet of an event, or nothing where the filter declined such events."""
        terms = self._agreed
        return events.encode(event, terms) if terms.sends(event.command) else b""

    def waits_for(self, event: Event) -> bool:
        """Whether the filter owes a reply to this event."""
        terms = self._agreed
        return terms.sends(event.command) and terms.replies_to(event.command)

    def receive(self, data: bytes | bytearray | memoryview) -> Iterable[Message | Negotiate]:
        """Take what arrived, cut anywhere; give the replies that it completes, in order."""
        found: list[Message | Negotiate] = []
        if not self._error:
            try:
                for command, payload in self._packets.cut(data):
                    found.append(self._read(command, payload))
                self._error = self._packets.error
            except ProtocolError as error:
                self._error = error
        return _broken_off(found, self._error) if self._error else found

    @property
    def _agreed(self) -> Terms:
        if self.terms is None:
            raise ProtocolError("The filter has not yet answered the offer")
        return self.terms

    def _read(self, command: int, payload: bytes) -> Message | Negotiate:
        if self.terms is not None:
            message = replies.parse(command, payload, self.terms)
            if isinstance(message, Negotiate):
                raise ProtocolError("The filter answered the offer twice")
            return message
        answer = replies.parse(command, payload, Terms(0, 0, 0))
        if not isinstance(answer, Negotiate):
            raise ProtocolError("The filter's first word is not an answer to the offer")
        self.terms = accepted(self.offer, answer)
        return answer


def _broken_off(
    found: Sequence[Message | Negotiate], error: ProtocolError
) -> Iterator[Message | Negotiate]:
    yield from found
    raise error
