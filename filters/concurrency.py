"""Concurrency: has somebody too many mails under way at once?

Per address, network (/24, /64), sender, sender's domain, login or recipient.  Each mail
takes a lease at MAIL (of a recipient, at RCPT) and gives it back at its end, also when it
is refused or the connection is lost.  What a crash leaves behind ends after `lease`.

Fails: Unavailable when the state is away.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Annotated, Literal

from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.finding import PASS, Fact, Finding, defer, reject
from millrace.engine.mail.session import Login, Peer
from millrace.engine.mail.subject import Per, subject
from millrace.engine.mail.verdict import Verdict
from millrace.engine.operations.lease import Acquire
from millrace.engine.operations.operation import digest
from millrace.engine.options import Seconds
from millrace.engine.ports import State


@dataclass(frozen=True, slots=True)
class Concurrent(Fact):
    """Whether `subject` has more than the limit under way, and how many in all."""

    limited: bool
    subject: str = ""
    mails: int = 0


@dataclass(frozen=True, slots=True)
class LimitConcurrency:
    """Hold a lease while a mail is under way, and say when there is none left."""

    per: Annotated[Per, "whom the limit is about"]
    limit: Annotated[int, "mails at once"] = 20
    lease: Annotated[Seconds, "after that a mail counts no more, if its end was never told"] = (
        Seconds(600.0)
    )
    above: Annotated[Literal["defer", "refuse", "tell"], "what is advised above it"] = "defer"

    def __post_init__(self) -> None:
        if self.limit < 1 or self.lease <= 0:
            raise ValueError("limit and lease must be above 0")

    def chosen(self) -> object:
        """What runs: a recipient is known later than the others."""
        return _OfRecipient(self) if self.per == "recipient" else self

    async def run(
        self, peer: Peer, sender: Sender, login: Login | None, state: State
    ) -> Finding[Concurrent]:
        return await self.held(subject(self.per, peer, sender, login), state)

    async def held(self, who: str, state: State) -> Finding[Concurrent]:
        """Take a lease of whoever it is; the mail's end gives it back."""
        if not who:
            return Finding(Concurrent(False))
        key = digest(self.per, who, str(self.limit))
        lease = await state.ask(Acquire(key, uuid.uuid4().hex, self.limit, self.lease))
        fact = Concurrent(not lease.granted, who, lease.holders)
        if lease.granted:
            return Finding(fact)
        note = f"{self.per} {who}: {lease.holders} mails under way, {self.limit} may be"
        return Finding(fact, self._advice(), note=note)

    def _advice(self) -> Verdict:
        if self.above == "tell":
            return PASS
        if self.above == "refuse":
            return reject("5.7.1", "Too many mails at once")
        return defer("4.7.1", "Too many mails at once, come again soon")


@dataclass(frozen=True, slots=True)
class _OfRecipient:
    """The same at RCPT."""

    limit: LimitConcurrency

    async def run(
        self, peer: Peer, sender: Sender, login: Login | None, recipient: Recipient, state: State
    ) -> Finding[Concurrent]:
        return await self.limit.held(subject("recipient", peer, sender, login, recipient), state)
