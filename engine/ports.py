"""Doors to the world: what a filter may do, as protocols.

A filter asks for a port by naming its type in `run()`; the engine hands it one that
is already bound to the tenant and to the mail's budget.  Adapters stand in
`engine.net`, `engine.state`, `engine.store` and `models`; fakes stand in the tests.

Fails: every port raises `Unavailable` when its service is away, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from millrace.engine.mail.edits import Edited
from millrace.engine.mail.envelope import Envelope
from millrace.engine.mail.message import Message
from millrace.engine.mail.score import Score
from millrace.engine.mail.verdict import Reply
from millrace.engine.operations.operation import Operation

T = TypeVar("T")
RecordType = Literal["A", "AAAA", "MX", "TXT", "PTR", "CNAME", "NS", "SOA", "TLSA"]
Question = tuple[str, RecordType]
AnswerStatus = Literal["found", "nodata", "nxdomain", "servfail", "timeout", "badname"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the DNS said.  NXDOMAIN, no data, SERVFAIL and time-out are four different answers.

    `records`: A, AAAA, PTR, CNAME, NS: text; TXT: bytes, strings joined; MX: (preference, host);
    SOA: (server, mailbox, serial, refresh, retry, expire, minimum); TLSA: (usage, selector,
    matching, octets).  `ttl` in seconds, that of an absence too; 0 when it is not told.
    `secure`: a resolver that we trust has validated it (DNSSEC, AD).
    """

    status: AnswerStatus
    records: tuple[object, ...] = ()
    ttl: int = 0
    secure: bool = False

    @property
    def failed(self) -> bool:
        """Whether nothing is known, because the DNS did not answer."""
        return self.status in ("servfail", "timeout")

    @property
    def texts(self) -> tuple[bytes, ...]:
        """The records of a TXT answer."""
        return tuple(r for r in self.records if isinstance(r, bytes))


class Dns(Protocol):
    """Look-ups, cached, within the mail's budget of questions and time."""

    async def ask(self, name: str, kind: RecordType) -> Answer:
        """Answer one question; a failure is an answer too, so this never raises."""
        ...

    async def ask_all(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer several at once, in their order."""
        ...


@runtime_checkable
class State(Protocol):
    """Shared memory of the engine; `engine.operations` holds what may be asked of it."""

    async def ask(self, operation: Operation[T]) -> T:
        """Take one atomic step in one round trip, and tell what came of it."""
        ...

    def tell(self, operation: Operation[Any]) -> None:
        """Take a step that nobody waits for; it is lost when the store is away."""
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class Scan:
    """A scanner's answer: the name of what it found, "" when clean."""

    found: str
    engine: str = ""


class Scanner(Protocol):
    """A virus scanner."""

    async def scan(self, message: Message, socket: str, timeout: float) -> Scan:
        """Scan the whole mail at `socket` (a path, or host:port)."""
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a mail is on disk: its SHA-256, octets, and whether it was there before."""

    sha256: str
    size: int
    known: bool = False


class Store(Protocol):
    """The archive."""

    async def keep(self, mail: Edited, now: float, keep_seconds: float) -> Receipt:
        """Return only when the mail is durable."""
        ...


class Signer(Protocol):
    """One private key, and the name under which its public half is published."""

    @property
    def domain(self) -> str:
        """The domain that signs (d=)."""
        ...

    @property
    def selector(self) -> str:
        """The key's name below that domain (s=)."""
        ...

    @property
    def algorithm(self) -> str:
        """Either rsa-sha256 or ed25519-sha256."""
        ...

    def sign(self, octets: bytes) -> bytes:
        """The signature over these octets."""
        ...


class Keys(Protocol):
    """The keys that sign our own mail."""

    def signers(self, domain: str) -> tuple[Signer, ...]:
        """Every active key of a domain, or of the nearest one above it that has any."""
        ...


class Classifier(Protocol):
    """Learnt judgement about text."""

    def score(self, model: str, message: Message) -> Score:
        """The probability that this is spam, and the words that told."""
        ...


class Clock(Protocol):
    """The time."""

    def now(self) -> float:
        """Unix time in seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the next hop said: one reply for the mail, and those for single recipients (LMTP)."""

    reply: Reply
    recipients: Mapping[str, Reply]


class NextHop(Protocol):
    """Where taken mail goes."""

    async def deliver(self, envelope: Envelope, message: Message) -> Delivery:
        """Hand over; the reply is final."""
        ...
