"""Staff: the children that live; it carries out what the roster orders.

What they say and how they end goes to `Employer`; what they had counted outlives them.

Fails: never; a child that the system has no process or descriptor for is `unborn`.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import time
from collections.abc import Iterable
from typing import Protocol

from millrace.engine.census import Census
from millrace.engine.telemetry.merging import Family, lasting, merged
from millrace.engine.workers import children as processes
from millrace.engine.workers.channel import Data, Message, SupervisorEnd
from millrace.engine.workers.children import Child
from millrace.engine.workers.handover import Ward
from millrace.engine.workers.roster import OFFICE, Kill, Leave, Member, Order, Roster, Start
from millrace.engine.workers.surveys import Surveys, Then

_log = logging.getLogger("millrace.supervisor")
LAST_WORDS = 64  # reads of what a child said before it ended


class Employer(Protocol):
    """Whoever the children work for."""

    def life(self, slot: int, row: int) -> processes.Body:
        """What a new child does; it is called in the parent, and run in the child."""

    def leave_behind(self) -> None:
        """In a new child: close what is the parent's alone."""

    def heard(self, child: Child, message: Message) -> None:
        """A child asked or told something."""

    def lost(self, child: Child, status: int) -> None:
        """A child ended, and nobody had told it to."""

    def unborn(self, slot: int, error: OSError) -> None:
        """A child could not be forked."""


class Staff:
    """Children by pid."""

    def __init__(
        self,
        employer: Employer,
        roster: Roster,
        census: Census,
        selector: selectors.BaseSelector,
    ) -> None:
        self.children: dict[int, Child] = {}
        self.counted: list[Family] = []  # by children that are gone
        self.roster, self.census = roster, census
        self.surveys = Surveys()
        self._employer = employer
        self._selector = selector

    # --- orders

    def carry_out(self, order: Order) -> None:
        """Fork, dismiss or kill."""
        match order:
            case Start(slot):
                self._start(slot)
            case Leave(member, patience):
                self.children[member.pid].end.send({"ask": 0, "what": "leave", "data": patience})
            case Kill(member, why):
                _log.error("%s is killed: %s", name(self.children[member.pid]), why)
                os.kill(member.pid, signal.SIGKILL)

    def _start(self, slot: int) -> None:
        row = self._free_row()
        if row is None:
            return  # too many are leaving still
        body, now = self._employer.life(slot, row), time.monotonic()
        try:
            pid, end = processes.fork(body, self._leave_behind)
        except OSError as error:  # those that serve go on meanwhile
            self.roster.failed(slot, now)
            self._employer.unborn(slot, error)
            return
        self._listen_to(Child(self.roster.started(slot, pid, row, now), end))

    def _leave_behind(self) -> None:
        for child in self.children.values():
            child.end.close()
        self._employer.leave_behind()

    def _free_row(self) -> int | None:
        taken = {child.member.row for child in self.children.values()}
        return next((row for row in range(self.census.rows) if row not in taken), None)

    def adopt(self, ward: Ward) -> None:
        """Take over a child of the supervisor before us."""
        now = time.monotonic()
        member = self.roster.adopt(ward.slot, ward.pid, now, leaving=ward.leaving)
        end = SupervisorEnd(ward.sock, ward.halves)
        self._listen_to(Child(member, end, counted=ward.counted))

    def _listen_to(self, child: Child) -> None:
        self.children[child.member.pid] = child
        self._selector.register(child.end, selectors.EVENT_READ, lambda: self._readable(child))

    def kill_all(self) -> None:
        """End them at once."""
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)

    # --- what they say

    def ask_workers(self, what: str, data: Data, seconds: float, then: Then) -> list[int]:
        """Put a question to every worker that is to go on; their pids."""
        return self.ask(self.roster.serving, (what, data), seconds, then)

    def ask(
        self, whom: Iterable[Member], question: tuple[str, Data], seconds: float, then: Then
    ) -> list[int]:
        """Put a question to some; their pids."""
        ends = {member.pid: self.children[member.pid].end for member in whom}
        self.surveys.ask(ends, question, time.monotonic() + seconds, then)
        return list(ends)

    def send_the_rest(self) -> bool:
        """Send what children had no room for; False when nothing is left."""
        unsent = [child.end for child in self.children.values() if child.end.unsent]
        for end in unsent:
            end.flush()
        return bool(unsent)

    def _readable(self, child: Child) -> None:
        if child.member.pid not in self.children:
            return  # it was buried since the selector spoke
        if not self._hear(child):
            self._selector.unregister(child.end)
            child.silent = True
            self.reap()

    def _hear(self, child: Child) -> bool:
        """Read what has come; False when the talk is over."""
        messages = child.end.read()
        if messages is None:
            return False
        self.roster.heard(child.member, time.monotonic())
        for message in messages:
            if "answer" in message:
                self.surveys.answered(child.member.pid, message["answer"], message.get("data"))
            else:
                self._employer.heard(child, message)
        return True

    # --- how they end

    def reap(self) -> None:
        """See who has ended."""
        for pid, child in list(self.children.items()):
            status = processes.ended(pid)
            if status is not None:
                self._bury(child, status)

    def _bury(self, child: Child, status: int) -> None:
        if not child.silent:
            for _ in range(LAST_WORDS):
                if not self._hear(child):
                    break
            self._selector.unregister(child.end)
        child.end.close()
        member = child.member
        del self.children[member.pid]
        if member.row >= 0:
            self.census.clear(member.row)
        self.counted = merged([self.counted, lasting(child.counted)])
        # first the roster: what a survey ends with may ask all who serve
        unasked = self.roster.ended(member, time.monotonic())
        self.surveys.gone(member.pid)
        if unasked:
            self._employer.lost(child, status)


def name(child: Child) -> str:
    """For people."""
    kind = "the office" if child.member.slot == OFFICE else f"worker {child.member.slot}"
    return f"{kind} (pid {child.member.pid})"
