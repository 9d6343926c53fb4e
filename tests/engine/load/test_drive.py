"""Many conversations over real sockets, against a server of some lines in a thread."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from millrace.engine.errors import Unavailable
from millrace.engine.load.drive import Drive, Plan
from millrace.engine.load.timing import Rate
from millrace.engine.net.endpoint import Endpoint


class Ping:
    """Says ping; any answer is its verdict."""

    def __init__(self, number: int) -> None:
        self.number, self.verdict, self.edits = number, "", 0

    def opening(self) -> bytes:
        return b"ping"

    def receive(self, data: bytes) -> bytes:
        self.verdict = data.decode() or "hung up"
        return b""

    def farewell(self) -> bytes:
        return b""


@contextlib.contextmanager
def server(answer) -> Iterator[Endpoint]:
    """Answers connections one after the other with what `answer` of their number gives."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as door:
        door.settimeout(10)

        def serve() -> None:
            with contextlib.suppress(OSError):
                for number in range(10_000):
                    connection, _ = door.accept()
                    with connection:
                        if connection.recv(100):
                            connection.sendall(answer(number))

        thread = threading.Thread(target=serve)
        thread.start()
        yield Endpoint("inet", *door.getsockname())
        with contextlib.suppress(OSError):
            door.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_closed_loop_sends_so_many_mails():
    with server(lambda n: b"accept") as where:
        outcome = Drive(where, Ping, Plan(at_once=4, mails=40)).run()
    assert (outcome.answered, outcome.verdicts["accept"]) == (40, 40)
    assert len(outcome.since_due) == 40


def test_a_server_that_stalls_is_charged_for_the_mails_that_were_due_meanwhile():
    def stalling(number: int) -> bytes:
        if number == 5:
            threading.Event().wait(0.2)
        return b"accept"

    with server(stalling) as where:
        plan = Plan(at_once=1, rate=Rate(100, 1.0, 0.4))
        outcome = Drive(where, Ping, plan).run()
    assert outcome.answered == 40
    # one at once: each mail but one was quick once it was sent, and half of all were late
    assert outcome.since_sent.quantile(0.9) < 0.05
    assert outcome.since_due.quantile(0.7) > 0.04


def test_connections_that_end_without_a_word_are_errors():
    with server(lambda n: b"" if n % 2 else b"accept") as where:
        outcome = Drive(where, Ping, Plan(at_once=1, mails=10)).run()
    assert (outcome.answered, outcome.errors["hung up"]) == (5, 5)


def test_nobody_at_home_is_said():
    with socket.create_server(("127.0.0.1", 0)) as door:
        where = Endpoint("inet", *door.getsockname())
    with pytest.raises(Unavailable, match="refused"):
        Drive(where, Ping, Plan(mails=3)).run()


def test_a_time_limit_ends_a_closed_loop():
    with server(lambda n: b"accept") as where:
        began = time.monotonic()
        outcome = Drive(where, Ping, Plan(at_once=2, seconds=0.2)).run()
    assert outcome.answered > 5
    assert time.monotonic() - began < 5
