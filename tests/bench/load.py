"""Load: a milter client that speaks as Postfix does, many conversations in one loop.

Packets are encoded before the clock starts.  A reply is awaited wherever the filter did
not negotiate it away.  A mail's time runs from before its connection is opened (Postfix
opens one for each SMTP session) until its verdict is there.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from millrace.engine.mail.verdict import Reply
from millrace.engine.wire import milter as wire
from millrace.engine.wire.milter import Answer, Command

from .corpus import Mail

CHUNK = 65535  # octets of a body packet, as Postfix cuts it
STALLED_S = 30.0
_FIELD = re.compile(rb"\r\n(?![ \t])")


@dataclass(frozen=True)
class Turn:
    """What is written at once, and the command whose reply ends the turn."""

    data: bytes
    command: Command


@dataclass
class Outcome:
    """What one run saw: seconds for each mail, verdicts, edits."""

    seconds: list[float] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)
    edits: int = 0

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.seconds + other.seconds,
            self.verdicts + other.verdicts,
            self.edits + other.edits,
        )

    def quantile(self, share: float) -> float:
        """Milliseconds that this share of the mails stayed below."""
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000


def events(mail: Mail, number: int) -> list[wire.Event]:
    """What Postfix says of a session with one mail in it."""
    head, _, body = mail.raw.partition(b"\r\n\r\n")
    names = {"j": "mx.rcpt.example", "_": f"{mail.host} [{mail.ip}]", "v": "Postfix 3.7"}
    queue_id = {"i": f"4B{number:08X}"}
    told: list[wire.Event] = [
        wire.Macros(Command.CONNECT, names),
        wire.Connect(mail.host, "inet", mail.ip, 40000),
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
    waiting = b""
    for event in told:
        if isinstance(event, wire.Macros) and not client.terms.sends(event.stage):
            continue
        waiting += client.send(event)
        if client.waits_for(event):
            cut.append(Turn(waiting, event.command))
            waiting = b""
    return cut


class Script:
    """The turns of one mail, made once for the filter's terms."""

    def __init__(self, mail: Mail, number: int) -> None:
        self._events = events(mail, number)
        self._made: list[Turn] | None = None

    def turns(self, client: wire.MilterClient) -> list[Turn]:
        """Those of its session, then its own."""
        if self._made is None:
            self._made = turns(client, self._events)
        return self._made


class Conversation:
    """One connection; `step` takes what came, and is False when there is no more to do."""

    def __init__(self, load: Load, script: Script) -> None:
        self._load = load
        self._client = wire.MilterClient()
        self._left = load.reuse
        self._begin(script)
        self._turns: Iterator[Turn] = iter(())
        self._turn = Turn(b"", Command.NEGOTIATE)
        self.socket = socket.create_connection(load.address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(self._client.open())

    def _begin(self, script: Script) -> None:
        self._began = time.perf_counter()
        self._script = script
        self._taken = False

    def step(self) -> bool:
        """Read, and answer."""
        data = self.socket.recv(65536)
        if not data:
            return self._verdict("hung up")
        return all(self._read(message) for message in self._client.receive(data))

    def _read(self, message: wire.Message | wire.Negotiate) -> bool:
        if isinstance(message, wire.Negotiate):
            self._turns = iter(self._script.turns(self._client))
            return self._next()
        if not wire.final(message):
            self._load.outcome.edits += message is not Answer.PROGRESS
            return True
        refused = message is not Answer.CONTINUE and message is not Answer.ACCEPT
        if self._turn.command is Command.RCPT:
            self._taken = self._taken or not refused
            return self._next() if self._taken or self._more() else self._verdict(_word(message))
        if refused or self._turn.command is Command.END_OF_MESSAGE:
            return self._verdict(_word(message))
        return self._next()

    def _more(self) -> bool:
        """Whether another recipient follows; looks ahead by one turn."""
        following = next(self._turns)
        self._turns = iter([following, *self._turns])
        return following.command is Command.RCPT

    def _next(self) -> bool:
        self._turn = next(self._turns)
        self.socket.sendall(self._turn.data)
        return True

    def _verdict(self, word: str) -> bool:
        outcome = self._load.outcome
        outcome.seconds.append(time.perf_counter() - self._began)
        outcome.verdicts[word] += 1
        self._left -= 1
        script = self._load.script() if self._left and word == "accept" else None
        if script is None:
            if word != "hung up":
                self.socket.sendall(self._client.send(wire.Quit()))
            return False
        self._begin(script)
        self.socket.sendall(self._client.send(wire.QuitNewConnection()))
        self._turns = iter(script.turns(self._client))
        return self._next()


def _word(message: wire.Message | wire.Negotiate) -> str:
    if isinstance(message, Reply):
        return "reject" if message.code >= 500 else "defer"
    words = {Answer.ACCEPT: "accept", Answer.CONTINUE: "accept", Answer.TEMPFAIL: "defer"}
    return words.get(message, str(getattr(message, "name", message)).lower())


class Load:
    """Sends `count` mails over `concurrency` connections, `reuse` on each."""

    def __init__(self, port: int, scripts: Sequence[Script], reuse: int = 1) -> None:
        self.address = ("127.0.0.1", port)
        self.reuse = reuse
        self.outcome = Outcome()
        self._scripts = scripts
        self._left = 0

    def run(self, count: int, concurrency: int) -> Outcome:
        """Send them; raises TimeoutError when the filter says nothing for long."""
        self.outcome, self._left = Outcome(), count
        with selectors.DefaultSelector() as selector:
            for _ in range(concurrency):
                self._open(selector)
            while selector.get_map():
                ready = selector.select(STALLED_S)
                if not ready:
                    raise TimeoutError("the filter is silent")
                for key, _ in ready:
                    if not key.data.step():
                        selector.unregister(key.fileobj)
                        key.data.socket.close()
                        self._open(selector)
        return self.outcome

    def script(self) -> Script | None:
        """The next mail, None when all are sent."""
        if not self._left:
            return None
        self._left -= 1
        return self._scripts[self._left % len(self._scripts)]

    def _open(self, selector: selectors.BaseSelector) -> None:
        script = self.script()
        if script is not None:
            conversation = Conversation(self, script)
            selector.register(conversation.socket, selectors.EVENT_READ, conversation)
