"""Rehearsal: one mail from a file, through a pipeline, and nothing happens.

`explain` stands on it.  DNS may come from a table, the time from the caller, state is in
memory and the archive keeps nothing; so the same case gives the same answer again.

A deferral does not end a rehearsal: the mail would come again, and one wants to know what
awaits it.  The answer is the deferral; `then` is the verdict that follows it.

Fails: `Case.read` raises ValueError for a case that is none.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.engine.errors import Misconfigured
from millrace.engine.mail.address import Address
from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Login, Peer
from millrace.engine.mail.verdict import Action, Verdict
from millrace.engine.net.dns import Resolver
from millrace.engine.net.zone import ZoneDns
from millrace.engine.pipeline.plan import Plan
from millrace.engine.pipeline.transaction import Serving, Transaction
from millrace.engine.policy import mailcase
from millrace.engine.policy.decision import Decision, answered
from millrace.engine.ports import Clock, Scan
from millrace.engine.services import Services, SystemClock
from millrace.engine.settings import Settings
from millrace.engine.state.memory import MemoryState
from millrace.engine.store.rehearsal import RehearsalStore

MAIL_MAX = 200 << 20
ZONES_MAX = 16  # files that are kept read
_BARE_LF = re.compile(rb"(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class FixedClock:
    """A clock that stands."""

    time: float

    def now(self) -> float:
        """The time it stands at."""
        return self.time


@dataclass(frozen=True, slots=True)
class StillScanner:
    """A scanner that finds the same in every mail; "" is nothing."""

    found: str

    async def scan(self, message: Message, socket: str, timeout: float) -> Scan:
        """Find it."""
        return Scan(self.found, "rehearsal")


@dataclass(frozen=True, slots=True)
class Case:
    """One mail to rehearse; `raw` None rehearses the envelope alone.

    `scanner` is what the virus scanner finds; None asks the one that is there.
    """

    raw: bytes | None
    ip: str = ""
    helo: str | None = None
    sender: str = ""
    recipients: tuple[str, ...] = ()
    login: str = ""
    now: float | None = None
    dns: Mapping[str, Any] | Path | None = None
    keep: bool = False
    id: str = ""
    scanner: str | None = None

    @staticmethod
    def read(data: Mapping[str, Any], folder: Path) -> Case:
        """Read a line of a batch; paths count from `folder`."""
        raw = _raw(data, folder)
        dns = data.get("dns")
        to = data.get("to") or []
        for key in ("ip", "helo", "from", "login", "now", "mail", "to", "scanner"):
            given = to if key == "to" and isinstance(to, list) else [data.get(key) or ""]
            if not all(isinstance(each, str) for each in given):
                raise ValueError(f"{key} is text, not {data[key]!r}")
        return Case(
            raw=raw,
            ip=str(data.get("ip") or ""),
            helo=data.get("helo"),
            sender=str(data.get("from") or ""),
            recipients=tuple([to] if isinstance(to, str) else to),
            login=str(data.get("login") or ""),
            now=moment(data["now"]) if data.get("now") else None,
            dns=folder / dns if isinstance(dns, str) else dns,
            keep=data.get("state") == "keep",
            id=str(data.get("id", "")),
            scanner=data.get("scanner"),
        )


def _raw(data: Mapping[str, Any], folder: Path) -> bytes | None:
    if data.get("raw") is not None:
        try:
            return as_sent(base64.b64decode(data["raw"], validate=True))
        except (binascii.Error, TypeError, ValueError) as error:
            raise ValueError(f"raw is no base64: {error}") from None
    return mail_file(folder / data["mail"]) if data.get("mail") else None


def mail_file(path: Path) -> bytes:
    """A mail from a file, as it would come over a wire; ValueError when it cannot be read."""
    try:
        if path.stat().st_size > MAIL_MAX:
            raise ValueError(f"{path} is larger than {MAIL_MAX >> 20} MiB")
        return as_sent(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def as_sent(raw: bytes) -> bytes:
    """Without an mbox line, with CRLF line ends."""
    if raw.startswith(b"From "):
        raw = raw.partition(b"\n")[2]
    return _BARE_LF.sub(b"\r\n", raw) if b"\n" in raw else raw


def moment(text: str) -> float:
    """Unix seconds of an ISO time; without a zone it is UTC."""
    try:
        return mailcase.moment(text)
    except ValueError:
        raise ValueError(f"'{text}' is no time such as 2026-11-23T12:00:00Z") from None


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """The record, the answer, and what follows a deferral (None when nothing was deferred)."""

    decision: Decision
    verdict: Verdict
    then: Verdict | None

    def as_data(self) -> dict[str, Any]:
        """The record with the answer on top."""
        data = self.decision.as_data() | answered(self.verdict)
        if self.then is not None:
            then = answered(self.then)
            data["then"] = then | {"rule": then["because"]["rule"]}
        return data


class Theatre:
    """Where cases are rehearsed: one plan, one state that cases may share; files are read once.

    A `resolver` answers in place of the cases' own DNS.
    """

    def __init__(self, settings: Settings, plan: Plan, resolver: Resolver | None = None) -> None:
        self._settings = settings
        self._plan = plan
        self._given = resolver
        self._kept = MemoryState()
        self._live: Services | None = None
        self._zones: dict[Path, ZoneDns] = {}

    async def rehearse(self, case: Case) -> Rehearsed:
        """Walk one case; raises `Misconfigured` or ValueError when it is none."""
        services = self._services(case)
        fixed = {} if case.scanner is None else {"scanner": StillScanner(case.scanner)}

        def ports() -> dict[str, Any]:
            return services.ports() | fixed

        serving = Serving(self._plan, ports, services.clock, lambda _: None)
        walk = _Walk(Transaction(serving, "explain"))
        try:
            return await walk.walk(case)
        finally:
            if services is not self._live:
                await services.close()

    async def close(self) -> None:
        """Let go of what live look-ups used."""
        if self._live is not None:
            await self._live.close()

    def _services(self, case: Case) -> Services:
        clock = FixedClock(case.now) if case.now is not None else SystemClock()
        resolver = self._resolver(case.dns)
        if resolver is None and self._settings.dns.zone is None and case.now is None:
            if self._live is None:  # one cache for all cases that ask the real DNS
                self._live = self._opened(Services(self._settings), MemoryState())
            self._live.state = self._memory(case, clock)
            return self._live
        services = Services(self._settings, clock, resolver)
        return self._opened(services, self._memory(case, clock))

    def _memory(self, case: Case, clock: Clock) -> MemoryState:
        """The state of one case, at the time of the case."""
        memory = self._kept if case.keep else MemoryState()
        memory.now = clock.now
        return memory

    def _resolver(self, dns: Mapping[str, Any] | Path | None) -> Resolver | None:
        if self._given is not None:
            return self._given
        if not isinstance(dns, Path):
            return ZoneDns.of(dns) if dns is not None else None
        if dns not in self._zones:  # a batch names one file thousands of times
            if len(self._zones) >= ZONES_MAX:
                self._zones.clear()
            self._zones[dns] = ZoneDns.load(dns)
        return self._zones[dns]

    def _opened(self, services: Services, state: MemoryState) -> Services:
        services.state = state
        services.store = RehearsalStore()
        services.open([self._plan])
        return services


class _Walk:
    """The six calls for one case."""

    def __init__(self, transaction: Transaction) -> None:
        self._tx = transaction
        self._answer: Verdict | None = None

    async def walk(self, case: Case) -> Rehearsed:
        if not await self._visit(case) and not await self._envelope(case):
            await self._content(case)
        decision = self._tx.decision()
        answer = self._answer or decision.verdict
        then = decision.verdict if answer is not decision.verdict else None
        return Rehearsed(decision, answer, then)

    def _ends(self, verdict: Verdict) -> bool:
        """Note a refusal; a deferral is noted and does not end the walk."""
        if verdict.refuses and self._answer is None:
            self._answer = verdict
        return verdict.action > Action.DEFER

    async def _visit(self, case: Case) -> bool:
        try:
            peer = Peer.at(case.ip)
        except ValueError:
            raise ValueError(f"'{case.ip}' is no IP address") from None
        if self._ends(await self._tx.connect(peer)):
            return True
        return case.helo is not None and self._ends(await self._tx.helo(Helo(case.helo)))

    async def _envelope(self, case: Case) -> bool:
        login = Login(case.login) if case.login else None
        sender = Sender(Address.parse(case.sender))
        if self._ends(await self._tx.mail(sender, id=case.id, login=login)):
            return True
        verdicts = [await self._tx.rcpt(_recipient(text)) for text in case.recipients]
        if not verdicts or not all(verdict.refuses for verdict in verdicts):
            return False
        return self._ends(max(verdicts, key=lambda verdict: verdict.action))

    async def _content(self, case: Case) -> None:
        if case.raw is None:
            return
        verdict = await self._tx.message(Message.parse(case.raw))
        if not self._ends(verdict) and self._answer is None:
            self._ends(await self._tx.settle())


def _recipient(text: str) -> Recipient:
    address = Address.parse(text)
    if address is None:
        raise ValueError("a recipient cannot be empty")
    return Recipient(address)


PROBLEMS = (ValueError, Misconfigured)
