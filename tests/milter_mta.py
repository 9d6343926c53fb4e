"""An MTA for milter tests: our client codec on a blocking socket, and doors to talk to."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Self

import milter_door

from millrace.engine.wire import milter as wire
from millrace.engine.wire.milter import POSTFIX, Command, MilterClient, Negotiate

FIELDS = (
    (b"From", b" Ann <ann@client.example>"),
    (b"X-Old", b" first"),
    (b"Subject", b" a folded\n\tsubject"),
    (b"X-Old", b"second, no blank"),
    (b"X-Bytes", b"  caf\xe9 \xff\x80 trailing \t"),
    (b"X-Utf8", " Grüße, \\x41".encode()),
    (b"X-Empty", b""),
)
BODY = b"Hello\r\n\r\n.\r\nbytes \x00\xff\r\n"
SENDMAIL_8_13 = Negotiate(2, 0x1F, 0x7F)
TIMEOUT_S = 10.0


def raw(fields=FIELDS) -> bytes:
    """The header section as the mail had it."""
    return b"".join(b"%b:%b\r\n" % (name, wire.wire_value(value)) for name, value in fields)


@dataclass
class Door:
    """A runtime in a process of its own."""

    backend: str
    process: subprocess.Popen[str]
    address: str


def opened(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", milter_door.__file__, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@dataclass
class Outcome:
    """What an MTA was told about one mail: edits, and the last answer; answers to each RCPT."""

    answer: object = None
    edits: list[object] = field(default_factory=list)
    recipients: list[object] = field(default_factory=list)

    def heard(self) -> list[str]:
        """What the filter says it was given."""
        return next(e.value for e in self.edits if getattr(e, "name", "") == "X-Heard").split("; ")

    @property
    def others(self) -> list[object]:
        return [edit for edit in self.edits if getattr(edit, "name", "") != "X-Heard"]


class Mta:
    """One connection to the filter."""

    def __init__(self, door: Door, offer: Negotiate = POSTFIX) -> None:
        port, _, host = door.address.removeprefix("inet:").partition("@")
        self.socket = socket.create_connection((host, int(port)), TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client = MilterClient(offer)
        self.replies: list[object] = []
        self.socket.sendall(self.client.open())
        try:
            self.next()
        except ConnectionError:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def next(self) -> object:
        """The next reply; ConnectionError when the filter has hung up."""
        while not self.replies:
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionError("the filter has hung up")
            self.replies += self.client.receive(data)
        return self.replies.pop(0)

    def say(self, event: wire.Event) -> list[object]:
        """Send it; all that is said up to the answer, nothing where none is due."""
        self.socket.sendall(self.client.send(event))
        found: list[object] = []
        while self.client.waits_for(event) and not (found and wire.final(found[-1])):
            found.append(self.next())
        return found

    def greet(self, name: str = "client.example") -> Self:
        self.say(wire.Macros(Command.CONNECT, {"j": "mx.example"}))
        self.say(wire.Connect("client.example", "inet", "192.0.2.7", 40007))
        self.say(wire.Helo(name))
        return self

    def mail(
        self, word: str, to=("you",), fields=FIELDS, body=BODY, options=(), queue_id="4QX"
    ) -> Outcome:
        """One mail from word@client.example, from MAIL to the end of the message."""
        outcome = Outcome()
        login = {"auth_authen": "ann", "auth_type": "plain"} if word == "login" else {}
        self.say(wire.Macros(Command.MAIL, {"mail_addr": word, **login}))
        self.say(wire.MailFrom(f"<{word}@client.example>" if word else "<>", tuple(options)))
        for local in to:
            path, *rest = f"<{local}@mx.example>".split()
            outcome.recipients += self.say(wire.RcptTo(path, tuple(rest)))
        self.say(wire.Macros(Command.DATA, {"i": queue_id}))
        self.say(wire.Data())
        for name, value in fields:
            self.say(wire.Header(name, value))
        self.say(wire.Macros(Command.END_OF_HEADERS, {"i": queue_id}))
        self.say(wire.EndOfHeaders())
        for at in range(0, len(body), 65535):
            self.say(wire.BodyChunk(body[at : at + 65535]))
        self.say(wire.Macros(Command.END_OF_MESSAGE, {"i": queue_id}))
        *outcome.edits, outcome.answer = self.say(wire.EndOfMessage())
        return outcome
