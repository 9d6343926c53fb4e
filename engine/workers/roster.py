"""The roster: which children shall run, start, leave or be killed.

No process is touched here.  A slot is a place for one child: a worker's, or the office's.  It
holds one that serves, and at times its successor (new first, then old) or some that are leaving.
`due` says what is to be done now; the supervisor does it and tells what became of it.

    starting ── ready ──► serving ── leave ──► leaving ──► ended
        └──── ended: back-off, when it did not live long ────┘

Silence is counted while the supervisor listens and the child has a processor: on a host with
too much to do, or one that slept, nobody is killed for it.

Times are monotonic seconds.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

OFFICE = -1  # the slot of the process that answers HTTP
START_S = 120.0  # a child that is not ready by then never will be
LONG_S = 60.0  # who lived so long did not die of how it started
BACKOFF_MAX_S = 60.0
BEHIND_S = 5.0  # what a leaving child may take above the time that it was given
LISTENING_S = 1.0  # between two looks; in a longer gap it was we who were away


class Phase(enum.Enum):
    """Where a child stands."""

    STARTING = "starting"
    SERVING = "serving"
    LEAVING = "leaving"


@dataclass(slots=True)
class Member:
    """One child."""

    pid: int
    slot: int
    row: int  # in the census
    began: float
    heard: float
    waited: float = 0.0  # seconds in the queue for a processor, when it was heard
    phase: Phase = Phase.STARTING
    outdated: bool = False  # a successor is wanted
    until: float = 0.0  # when a leaving one is killed
    killed: bool = False


class Start(NamedTuple):
    """Fork a child into this slot."""

    slot: int


class Leave(NamedTuple):
    """Tell a child to end; `patience` seconds for connections without a mail."""

    member: Member
    patience: float


class Kill(NamedTuple):
    """End a child at once."""

    member: Member
    why: str


Order = Start | Leave | Kill


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds: of silence before a child is killed, for a drain, and for connections at rest."""

    hung: float = 30.0
    drain: float = 30.0
    patience: float = 15.0


@dataclass(slots=True)
class _Slot:
    failures: int = 0
    not_before: float = 0.0
    members: list[Member] = field(default_factory=list)

    def of(self, *phases: Phase) -> list[Member]:
        return [member for member in self.members if member.phase in phases]

    @property
    def fresh(self) -> list[Member]:
        return [member for member in self.of(Phase.SERVING) if not member.outdated]


class Roster:
    """`slots` are to be filled; `waited` is how long a pid stood in the queue for a processor."""

    def __init__(
        self, slots: list[int], terms: Terms, waited: Callable[[int], float] = lambda _: 0.0
    ) -> None:
        self._slots = {slot: _Slot() for slot in slots}
        self._wanted = frozenset(slots)
        self._terms = terms
        self._waited = waited
        self._looked = 0.0
        self.stopping = False
        self.restarts = 0  # children that ended unasked

    # --- who is there

    @property
    def members(self) -> list[Member]:
        """Every child that lives."""
        return [member for slot in self._slots.values() for member in slot.members]

    def find(self, pid: int) -> Member | None:
        """The child of that pid."""
        return next((member for member in self.members if member.pid == pid), None)

    @property
    def serving(self) -> list[Member]:
        """The workers that take mail, and are to go on."""
        return [member for member in self.taking if not member.outdated]

    @property
    def taking(self) -> list[Member]:
        """The workers that take mail, those with a successor under way too."""
        return [member for member in self.working if member.phase is Phase.SERVING]

    @property
    def working(self) -> list[Member]:
        """All workers that are up: those that leave have mail in hand."""
        return [m for m in self.members if m.slot != OFFICE and m.phase is not Phase.STARTING]

    @property
    def complete(self) -> bool:
        """Whether every slot is filled with a child that is ready, and none is outdated."""
        return all(self._slots[slot].fresh for slot in self._wanted)

    @property
    def failing(self) -> bool:
        """Whether a slot stays empty since what is started for it ends again."""
        empty = (self._slots[slot] for slot in self._wanted)
        return any(each.failures > 1 and not each.fresh for each in empty)

    # --- what became of orders

    def started(self, slot: int, pid: int, row: int, now: float) -> Member:
        """A child was forked."""
        member = Member(pid, slot, row, now, now)
        self._slots.setdefault(slot, _Slot()).members.append(member)
        return member

    def ready(self, member: Member, now: float) -> None:
        """A child serves."""
        self.heard(member, now)
        if member.phase is Phase.STARTING:
            member.phase = Phase.SERVING

    def heard(self, member: Member, now: float) -> None:
        """A child said something."""
        member.heard = now
        member.waited = self._waited(member.pid)

    def ended(self, member: Member, now: float) -> bool:
        """A child is gone; True when nobody had asked it to."""
        slot = self._slots[member.slot]
        slot.members.remove(member)
        if member.phase is Phase.LEAVING or self.stopping:
            return False
        self.restarts += 1
        slot.failures = slot.failures if now - member.began < LONG_S else 0
        self.failed(member.slot, now)
        return True

    def failed(self, number: int, now: float) -> None:
        """A slot has lost its child, or could not be given one."""
        slot = self._slots.setdefault(number, _Slot())
        slot.failures += 1
        slot.not_before = now + self.backoff(number)

    def backoff(self, slot: int) -> float:
        """Seconds until the slot is filled again: none after the first failure."""
        failures = self._slots[slot].failures
        return 0.0 if failures <= 1 else min(2.0 ** (failures - 2), BACKOFF_MAX_S)

    def adopt(self, slot: int, pid: int, now: float, *, leaving: bool = False) -> Member:
        """A child of the supervisor before us: it serves until its successor does."""
        member = self.started(slot, pid, -1, now)
        member.phase, member.outdated = Phase.SERVING, True
        if leaving:
            self._dismissed(member, now)
        return member

    def replace(self, member: Member) -> None:
        """Put another one in a child's place."""
        member.outdated = True

    def outgrown(self, member: Member, now: float) -> bool:
        """Replace a child that is too large; False for a young one: the next would be as large."""
        if now - member.began < LONG_S:
            return False
        self.replace(member)
        return True

    def stop(self) -> None:
        """Let all of them leave."""
        self.stopping = True

    # --- what is to be done

    def due(self, now: float) -> list[Order]:
        """The orders of this moment; a `Leave` is noted as done."""
        away = now - self._looked - LISTENING_S
        if self._looked and away > 0:
            for member in self.members:
                member.heard += away
        self._looked = now
        return [*self._overdue(now), *self._changes(now)]

    def _overdue(self, now: float) -> Iterator[Order]:
        for member in self.members:
            why = self._overdue_by(member, now)
            if why and not member.killed:
                member.killed = True
                yield Kill(member, why)

    def _overdue_by(self, member: Member, now: float) -> str:
        match member.phase:
            case Phase.LEAVING if now > member.until:
                return "it did not end in time"
            case Phase.STARTING if now - member.began > START_S:
                return f"it was not ready after {START_S:.0f} s"
            case Phase.SERVING if (silent := self._silent(member, now)) > self._terms.hung:
                return f"it was silent for {silent:.0f} s"
        return ""

    def _silent(self, member: Member, now: float) -> float:
        """Seconds in which it could have spoken."""
        silent = now - member.heard
        if silent <= self._terms.hung:
            return silent
        return silent - (self._waited(member.pid) - member.waited)

    def _changes(self, now: float) -> Iterator[Order]:
        for number, slot in self._slots.items():
            if self.stopping:
                yield from self._dismiss(slot.of(Phase.STARTING, Phase.SERVING), now, 0.0)
                continue
            starting = slot.of(Phase.STARTING)
            fresh = slot.fresh
            old = [m for m in slot.of(Phase.SERVING) if m.outdated]
            wanted = number in self._wanted
            if wanted and not starting and not fresh and now >= slot.not_before:
                yield Start(number)
            if fresh or (not wanted and self.complete):
                yield from self._dismiss(old, now, self._terms.patience)

    def _dismiss(self, members: list[Member], now: float, patience: float) -> Iterator[Order]:
        for member in members:
            self._dismissed(member, now)
            yield Leave(member, patience)

    def _dismissed(self, member: Member, now: float) -> None:
        member.phase = Phase.LEAVING
        member.until = now + self._terms.drain + BEHIND_S
