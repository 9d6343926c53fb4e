"""Children as real processes: what they say is heard, how they end is told."""

from __future__ import annotations

import errno
import os
import resource
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from millrace.engine.census import MAILS, Census
from millrace.engine.workers.channel import Message, packed
from millrace.engine.workers.children import Body, Child
from millrace.engine.workers.roster import Roster, Start, Terms
from millrace.engine.workers.staff import Staff

MESSAGE = {"tell": "counted", "data": [["mails", "", "counter", [["mails_total", {}, 7]]]]}


@dataclass
class Employer:
    """Remembers what it was told; `body` is what each child does."""

    body: Callable[[socket.socket], None]
    census: Census = field(default_factory=lambda: Census(2, 0))
    said: list[Message] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)

    def life(self, slot: int, row: int) -> Body:
        async def live(sock: socket.socket) -> None:
            self.census.seat(row).add(MAILS, 3)
            self.body(sock)

        return live

    def leave_behind(self) -> None:
        """Nothing is ours alone."""

    def heard(self, child: Child, message: Message) -> None:
        self.said.append(message)
        child.counted = message["data"]

    def lost(self, child: Child, status: int) -> None:
        self.ended.append(status)

    def unborn(self, slot: int, error: OSError) -> None:
        self.ended.append(-(error.errno or 0))


Made = tuple[Staff, Employer, selectors.BaseSelector]


@pytest.fixture
def begin() -> Iterator[Callable[[Callable[[socket.socket], None]], Made]]:
    selector = selectors.DefaultSelector()
    staffs: list[Staff] = []

    def made(body: Callable[[socket.socket], None]) -> Made:
        employer = Employer(body)
        staff = Staff(employer, Roster([0], Terms()), employer.census, selector)
        staffs.append(staff)
        staff.carry_out(Start(0))
        return staff, employer, selector

    yield made
    for staff in staffs:
        staff.kill_all()
        pump(staff, selector, lambda staff=staff: not staff.children)
    selector.close()


def pump(staff: Staff, selector: selectors.BaseSelector, over: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not over():
        assert time.monotonic() < end
        for key, _ in selector.select(0.01):
            key.data()
        staff.reap()


def halves(sock: socket.socket) -> None:
    """Half a message, a pause until it was read, then the rest."""
    line = packed(MESSAGE)
    sock.sendall(line[:20])
    sock.recv(1)
    sock.sendall(line[20:])
    sock.recv(1)


def test_half_a_message_is_not_the_end_of_the_talk(begin) -> None:
    staff, employer, selector = begin(halves)
    (child,) = staff.children.values()
    pump(staff, selector, lambda: child.end.halves[0] != b"")
    child.end.sock.send(b"x")
    pump(staff, selector, lambda: employer.said == [MESSAGE])
    assert not child.silent
    child.end.sock.send(b"x")


def test_last_words_are_heard_and_counters_stay(begin) -> None:
    staff, employer, selector = begin(lambda sock: sock.sendall(packed(MESSAGE)))
    pump(staff, selector, lambda: not staff.children)
    assert employer.said == [MESSAGE]
    assert employer.ended == [0]
    assert staff.counted == MESSAGE["data"]
    assert employer.census.seat(0).total(MAILS) == 0


def test_child_that_crashes_is_told_by_its_status(begin, capfd) -> None:
    def crash(sock: socket.socket) -> None:
        raise AssertionError("on purpose")

    staff, employer, selector = begin(crash)
    pump(staff, selector, lambda: not staff.children)
    assert employer.ended == [1]
    assert "on purpose" in capfd.readouterr().err


def test_child_that_was_told_to_leave_is_not_missed(begin) -> None:
    staff, employer, selector = begin(lambda sock: sock.recv(100) and None)
    (child,) = staff.children.values()
    staff.roster.stop()
    for order in staff.roster.due(time.monotonic()):
        staff.carry_out(order)
    pump(staff, selector, lambda: not staff.children)
    assert employer.ended == []
    assert child.member.pid != os.getpid()


def test_child_that_the_system_has_no_room_for_is_told_and_tried_again() -> None:
    employer, roster = Employer(lambda _: None), Roster([0], Terms())
    with selectors.DefaultSelector() as selector:
        staff = Staff(employer, roster, employer.census, selector)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            staff.carry_out(Start(0))
            staff.carry_out(Start(0))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert employer.ended == [-errno.EMFILE] * 2
    assert roster.backoff(0) == 1.0
    assert roster.failing
    assert staff.children == {}


def test_who_ends_while_asked_is_asked_nothing_by_what_follows(begin) -> None:
    staff, employer, selector = begin(lambda sock: sock.recv(1))
    (child,) = staff.children.values()
    staff.roster.ready(child.member, time.monotonic())
    asked: list[list[int]] = []

    def then(answers: object) -> None:
        asked.append(staff.ask_workers("commit", None, 5, lambda answers: None))

    assert staff.ask_workers("prepare", None, 5, then) == [child.member.pid]
    os.kill(child.member.pid, signal.SIGKILL)
    pump(staff, selector, lambda: not staff.children)
    assert asked == [[]]
    assert employer.ended == [-signal.SIGKILL]
