"""Fakes that the tests share: real behaviour, nothing recorded, nothing mocked."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import resource
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from millrace.engine.document import Document
from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import Edited
from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Peer
from millrace.engine.mail.verdict import Verdict
from millrace.engine.pipeline import spec
from millrace.engine.pipeline.graph import compile_plan
from millrace.engine.pipeline.plan import Plan
from millrace.engine.pipeline.transaction import Serving, Transaction
from millrace.engine.policy.decision import Decision
from millrace.engine.ports import Answer, Question, Receipt, RecordType, Scan


@dataclass
class ManualClock:
    """A clock that stands until it is moved."""

    time: float = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class FakeDns:
    """Answers from a table `{(name, type): Answer or records}`; all else is NXDOMAIN."""

    table: Mapping[Question, Any] = field(default_factory=dict)
    asked: list[Question] = field(default_factory=list)

    async def ask(self, name: str, kind: RecordType) -> Answer:
        self.asked.append((name, kind))
        found = self.table.get((name, kind))
        if found is None:
            known = any(other == name for other, _ in self.table)
            return Answer("nodata" if known else "nxdomain")
        return found if isinstance(found, Answer) else Answer("found", tuple(found), 300)

    async def ask_all(self, questions: Sequence[Question]) -> list[Answer]:
        return [await self.ask(name, kind) for name, kind in questions]


@dataclass
class FakeScanner:
    """Finds what it was told to find, or is away; remembers what it was asked."""

    found: str = ""
    trouble: Exception | None = None
    asked: list[tuple[str, float]] = field(default_factory=list)

    async def scan(self, message: Message, socket: str, timeout: float) -> Scan:
        self.asked.append((socket, timeout))
        if self.trouble is not None:
            raise self.trouble
        return Scan(self.found, "fake")


@dataclass
class FakeStore:
    """Keeps mails in a list, or refuses to."""

    trouble: Exception | None = None
    kept: list[tuple[Edited, float, float]] = field(default_factory=list)

    async def keep(self, mail: Edited, now: float, keep_seconds: float) -> Receipt:
        if self.trouble is not None:
            raise self.trouble
        self.kept.append((mail, now, keep_seconds))
        raw = bytes(mail.message)
        return Receipt(hashlib.sha256(raw).hexdigest(), len(raw))


def plan_of(pipeline: str, policy: str = "", **filters: type) -> Plan:
    """A plan from texts, whose filters are these classes by name."""
    wired = spec.load(Document(pipeline, "line.toml"), "line", filters.__getitem__)
    return compile_plan(wired, Document(policy, "law.toml"), "law")


def uses(*names: str) -> str:
    """The text of a pipeline that uses these filters, in this order."""
    return "".join(f'[[filter]]\nuse = "{name}"\n' for name in names)


class Walker:
    """One connection through a plan, call by call; `records` are the decisions written."""

    def __init__(self, plan: Plan, **ports: Any) -> None:
        self.clock = ManualClock()
        self.records: list[Decision] = []
        self.serving = Serving(
            plan, lambda: {"clock": self.clock, **ports}, self.clock, self.records.append
        )
        self.tx = Transaction(self.serving, "test")

    async def greet(self, ip: str = "192.0.2.7", helo: str = "mx.example") -> Verdict:
        verdict = await self.tx.connect(Peer(ip))
        return verdict if verdict.refuses else await self.tx.helo(Helo(helo))

    async def begin(self, sender: str = "a@b.example", **more: Any) -> Verdict:
        return await self.tx.mail(Sender(Address.parse(sender)), **more)

    async def to(self, recipient: str = "ann@example.net") -> Verdict:
        address = Address.parse(recipient)
        assert address is not None
        return await self.tx.rcpt(Recipient(address))

    async def content(self, raw: bytes = b"From: a@b.example\r\n\r\nhello\r\n") -> Verdict:
        verdict = await self.tx.message(Message.parse(raw))
        return verdict if verdict.refuses else await self.tx.settle()

    async def whole(self, *recipients: str) -> Verdict:
        """Greeting, one mail, and its end."""
        steps = [self.greet, self.begin]
        steps += [functools.partial(self.to, each) for each in recipients or ("ann@example.net",)]
        for step in [*steps, self.content]:
            verdict = await step()
            if verdict.refuses:
                break
        return verdict


@contextlib.contextmanager
def room_for(octets: int) -> Iterator[None]:
    """A disk on which no file of ours grows beyond so many octets: then writes fall short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
