"""Ratelimit: does somebody send more than a limit allows?

Per address, network (/24, /64), sender, sender's domain, login or recipient; mails,
recipients or octets are counted.  Mails are counted at MAIL, recipients at RCPT, octets
when the whole mail is there.  Without `burst` no sliding window holds more than `limit`;
with it so many may come at once, and `limit` is spread over the window.

Who is not there (no login, the null sender of bounces) is not limited.

Fails: Unavailable when the state is away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.finding import PASS, Fact, Finding, defer, reject
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Login, Peer
from millrace.engine.mail.subject import Per, subject
from millrace.engine.mail.verdict import Verdict
from millrace.engine.operations.bucket import TakeTokens
from millrace.engine.operations.limit import Allowance
from millrace.engine.operations.operation import Operation, digest
from millrace.engine.operations.window import CountInWindow
from millrace.engine.options import Seconds
from millrace.engine.ports import State


@dataclass(frozen=True, slots=True)
class Limited(Fact):
    """Whether `subject` is over the limit; `left` of it; `wait` seconds until there is more."""

    limited: bool
    subject: str = ""
    left: float = 0.0
    wait: Seconds = Seconds(0.0)


@dataclass(frozen=True, slots=True)
class LimitRate:
    """Count what somebody sends, and say when it is more than the limit."""

    per: Annotated[Per, "whom the limit is about"]
    limit: Annotated[int, "how much in one window"]
    window: Annotated[Seconds, "the window"] = Seconds(3600.0)
    burst: Annotated[int, "how much at once; 0: the limit, in any window of that length"] = 0
    count: Annotated[Literal["mails", "recipients", "octets"], "what is counted"] = "mails"
    above: Annotated[Literal["defer", "refuse", "tell"], "what is advised above it"] = "defer"

    def __post_init__(self) -> None:
        if self.limit < 1 or self.window <= 0 or self.burst < 0:
            raise ValueError("limit and window must be above 0, and burst not below it")
        if self.per == "recipient" and self.count == "octets":
            raise ValueError("octets of a mail are no single recipient's; count mails")

    def chosen(self) -> object:
        """What runs: counting decides what must be known."""
        if self.count == "octets":
            return _Octets(self)
        if self.count == "recipients" or self.per == "recipient":
            return _Recipients(self)
        return self

    async def run(
        self, peer: Peer, sender: Sender, login: Login | None, state: State
    ) -> Finding[Limited]:
        return await self.counted(subject(self.per, peer, sender, login), 1, state)

    async def counted(self, who: str, cost: float, state: State) -> Finding[Limited]:
        """Count against the limit of whoever it is."""
        if not who:
            return Finding(Limited(False))
        found = await state.ask(self._operation(who, cost))
        fact = Limited(not found.allowed, who, round(found.left, 3), Seconds(round(found.wait, 3)))
        if found.allowed:
            return Finding(fact)
        over = f"more than {self.limit} {self.count} in {self.window:g} s"
        note = f"{self.per} {who}: {over}; again in {found.wait:.0f} s"
        return Finding(fact, self._advice(found), note=note)

    def _operation(self, who: str, cost: float) -> Operation[Allowance]:
        terms = f"{self.count}/{self.limit}/{self.window:g}/{self.burst}"
        key = digest(self.per, who, terms)
        if self.burst:
            return TakeTokens(key, self.limit / self.window, self.burst, cost)
        return CountInWindow(key, self.window, self.limit, cost)

    def _advice(self, found: Allowance) -> Verdict:
        if self.above == "tell":
            return PASS
        if self.above == "refuse":
            return reject("5.7.1", f"Too many {self.count}")
        return defer("4.7.1", f"Too many {self.count}, come again in {found.wait:.0f} seconds")


@dataclass(frozen=True, slots=True)
class _Recipients:
    """The same at RCPT, once for each recipient."""

    limit: LimitRate

    async def run(
        self, peer: Peer, sender: Sender, login: Login | None, recipient: Recipient, state: State
    ) -> Finding[Limited]:
        who = subject(self.limit.per, peer, sender, login, recipient)
        return await self.limit.counted(who, 1, state)


@dataclass(frozen=True, slots=True)
class _Octets:
    """The same with the whole mail, by its size."""

    limit: LimitRate

    async def run(
        self, peer: Peer, sender: Sender, login: Login | None, message: Message, state: State
    ) -> Finding[Limited]:
        who = subject(self.limit.per, peer, sender, login)
        return await self.limit.counted(who, message.size, state)
