"""One mail told to a milter, as Postfix tells it.  Sans-IO.

`opening` gives the first bytes; `receive` takes what came and gives what to send next,
until `verdict` is set: accept, reject, defer, discard or hung up.  A reply is awaited
wherever the filter did not negotiate it away.

Packets are encoded once for a mail and the terms that a filter agrees to: give the same
`Script` to many talks.

Fails: ProtocolError where Postfix would hang up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from millrace.engine.errors import ProtocolError
from millrace.engine.load.mails import Mail
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire import milter as wire
from millrace.engine.wire.milter import Answer, Command

CHUNK = 65535  # octets of a body packet, as Postfix cuts it
_FIELD = re.compile(rb"\r\n(?![ \t])")
_WORDS = {Answer.ACCEPT: "accept", Answer.CONTINUE: "accept", Answer.TEMPFAIL: "defer"}


class Turn(NamedTuple):
    """What is written at once, and the command whose reply ends the turn."""

    data: bytes
    command: Command


def events(mail: Mail, number: int) -> list[wire.Event]:
    """What Postfix says of a session with one mail in it."""
    head, _, body = mail.raw.partition(b"\r\n\r\n")
    names = {"j": "mx.rcpt.example", "_": f"{mail.host} [{mail.ip}]", "v": "Postfix 3.7"}
    queue_id = {"i": f"4B{number:08X}"}
    family = "inet6" if ":" in mail.ip else "inet"
    told: list[wire.Event] = [
        wire.Macros(Command.CONNECT, names),
        wire.Connect(mail.host, family, mail.ip, 40000),
        wire.Helo(mail.host),
        wire.Macros(Command.MAIL, {"mail_addr": mail.sender, "mail_mailer": "smtp"}),
        wire.MailFrom(f"<{mail.sender}>", (f"SIZE={len(mail.raw)}",)),
    ]
    for address in mail.recipients:
        told += [wire.Macros(Command.RCPT, {"rcpt_addr": address}), wire.RcptTo(f"<{address}>")]
    told += [wire.Macros(Command.DATA, queue_id), wire.Data()]
    for line in _FIELD.split(head):
        name, _, value = line.partition(b":")
        told.append(wire.Header(name, value))
    told += [wire.Macros(Command.END_OF_HEADERS, queue_id), wire.EndOfHeaders()]
    told += [wire.BodyChunk(body[at : at + CHUNK]) for at in range(0, len(body), CHUNK)]
    told += [wire.Macros(Command.END_OF_MESSAGE, queue_id), wire.EndOfMessage()]
    return told


def turns(client: wire.MilterClient, told: Sequence[wire.Event]) -> list[Turn]:
    """Those events on the wire, cut where a reply is due."""
    cut: list[Turn] = []
    waiting: list[bytes] = []
    for event in told:
        if isinstance(event, wire.Macros) and not _tells(client.terms, event.stage):
            continue
        waiting.append(client.send(event))
        if client.waits_for(event):
            cut.append(Turn(b"".join(waiting), event.command))
            waiting.clear()
    return cut


def _tells(terms: wire.Terms | None, stage: int) -> bool:
    return terms is not None and terms.sends(stage)


class Script:
    """The turns of one mail, made once for the terms of a filter."""

    def __init__(self, mail: Mail, number: int) -> None:
        self._mail, self._number = mail, number
        self._made: list[Turn] = []
        self._protocol = -1

    def turns(self, client: wire.MilterClient) -> list[Turn]:
        """Those of its session, then its own."""
        protocol = client.terms.protocol if client.terms is not None else -1
        if protocol != self._protocol:
            self._made = turns(client, events(self._mail, self._number))
            self._protocol = protocol
        return self._made


class MilterTalk:
    """One conversation; may be told another script when it ended with "accept"."""

    __slots__ = ("_at", "_client", "_script", "_taken", "_turns", "edits", "verdict")

    def __init__(self, script: Script) -> None:
        self._client = wire.MilterClient()
        self._script = script
        self._turns: Sequence[Turn] = ()
        self._at = 0
        self._taken = False
        self.edits = 0
        self.verdict = ""

    def opening(self) -> bytes:
        """The offer."""
        return self._client.open()

    def receive(self, data: bytes) -> bytes:
        """Take what came, b"" when the filter hung up; give what to send."""
        if not data:
            self.verdict = "hung up"
            return b""
        return b"".join([self._read(message) for message in self._client.receive(data)])

    @property
    def standing(self) -> bool:
        """Whether the filter has answered the offer: an idle connection goes no further."""
        return self._client.terms is not None

    def again(self, script: Script) -> bytes | None:
        """Another mail on this connection; None where it cannot be."""
        if self.verdict != "accept":
            return None
        self._script, self.verdict, self._taken = script, "", False
        return self._client.send(wire.QuitNewConnection()) + self._begin()

    def farewell(self) -> bytes:
        """What ends the connection."""
        if self.verdict == "hung up" or not self.standing:
            return b""
        return self._client.send(wire.Quit())

    def _begin(self) -> bytes:
        self._turns, self._at = self._script.turns(self._client), -1
        return self._next()

    def _next(self) -> bytes:
        self._at += 1
        return self._turns[self._at].data

    def _read(self, message: wire.Message | wire.Negotiate) -> bytes:
        if isinstance(message, wire.Negotiate):
            return self._begin()
        if self.verdict:
            raise ProtocolError("The filter answers what was not asked")
        if not wire.final(message):
            self.edits += message is not Answer.PROGRESS
            return b""
        return self._answered(_word(message), self._turns[self._at].command, message)

    def _answered(self, word: str, command: Command, message: wire.Message) -> bytes:
        if command is Command.RCPT:
            self._taken = self._taken or word == "accept"
            if self._taken or self._turns[self._at + 1].command is Command.RCPT:
                return self._next()
        if message is Answer.SKIP:
            while self._turns[self._at].command is Command.BODY:
                self._at += 1
            return self._turns[self._at].data
        over = word != "accept" or message is Answer.ACCEPT
        if over or command is Command.END_OF_MESSAGE:
            self.verdict = word
            return b""
        return self._next()


def _word(message: wire.Message) -> str:
    if isinstance(message, Reply):
        return "reject" if message.code >= 500 else "defer"
    if isinstance(message, Answer):
        return _WORDS.get(message, message.name.lower())
    return type(message).__name__
