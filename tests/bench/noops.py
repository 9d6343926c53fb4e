"""Seven filters that do nothing, one for each thing that the wire brings."""

from __future__ import annotations

from dataclasses import dataclass

from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.finding import Fact, Finding
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Peer


@dataclass(frozen=True, slots=True)
class Nothing(Fact):
    """A fact that says nothing."""

    n: int = 0


class OfPeer:
    def run(self, peer: Peer) -> Finding[Nothing]:
        return Finding(Nothing())


class OfHelo:
    def run(self, helo: Helo) -> Finding[Nothing]:
        return Finding(Nothing())


class OfSender:
    def run(self, sender: Sender) -> Finding[Nothing]:
        return Finding(Nothing())


class OfRecipient:
    def run(self, recipient: Recipient) -> Finding[Nothing]:
        return Finding(Nothing())


class OfHeaders:
    def run(self, headers: Headers) -> Finding[Nothing]:
        return Finding(Nothing())


class OfMessage:
    def run(self, message: Message) -> Finding[Nothing]:
        return Finding(Nothing())


class OfMessageToo:
    def run(self, message: Message) -> Finding[Nothing]:
        return Finding(Nothing())


FILTERS = {
    "noop-peer": OfPeer,
    "noop-helo": OfHelo,
    "noop-sender": OfSender,
    "noop-recipient": OfRecipient,
    "noop-headers": OfHeaders,
    "noop-message": OfMessage,
    "noop-message-too": OfMessageToo,
}
