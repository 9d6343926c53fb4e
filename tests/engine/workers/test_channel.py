"""The talk between supervisor and child: messages whole, however they are cut."""

from __future__ import annotations

import asyncio
import itertools
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.workers.channel import ChildEnd, Data, Lines, SupervisorEnd, packed
from millrace.engine.workers.surveys import Surveys

MESSAGES = [{"tell": "beat", "data": {"rss": 1}}, {"ask": 1, "what": "ä"}, {"tell": "x"}]


@given(st.lists(st.integers(0, 80), max_size=6))
def test_messages_are_whole_however_they_are_cut(cuts):
    data = b"".join(packed(message) for message in MESSAGES)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    lines = Lines()
    pieces = (data[a:b] for a, b in itertools.pairwise(edges))
    assert [message for piece in pieces for message in lines.feed(piece)] == MESSAGES


@pytest.mark.parametrize("junk", [b"\xff\n", b"[]\n", b"{\n"])
def test_nonsense_ends_the_talk(junk):
    ours, theirs = socket.socketpair()
    end = SupervisorEnd(ours)
    theirs.sendall(junk)
    assert end.read() is None
    theirs.close()
    end.close()


def test_supervisor_waits_for_nobody_and_sends_the_rest_later():
    ours, theirs = socket.socketpair()
    end = SupervisorEnd(ours)
    assert end.read() == []
    message = {"tell": "long", "data": "x" * 1_000_000}
    end.send(message)
    assert end.unsent
    lines, got = Lines(), []
    while not got:
        got = lines.feed(theirs.recv(1 << 20))
        end.flush()
    assert got == [message]
    theirs.close()
    assert end.read() is None
    end.close()


def test_half_a_message_goes_over_to_the_next_supervisor():
    ours, theirs = socket.socketpair()
    before = SupervisorEnd(ours)
    line = packed(MESSAGES[0])
    theirs.sendall(line[:9])
    assert before.read() == []
    after = SupervisorEnd(ours, before.halves)
    theirs.sendall(line[9:])
    assert after.read() == [MESSAGES[0]]
    theirs.close()
    after.close()


def test_child_answers_asks_and_notices_that_its_supervisor_is_gone():
    ours, theirs = socket.socketpair()
    end = SupervisorEnd(ours)
    heard: list[tuple[str, Data]] = []

    async def answer(what: str, data: Data) -> Data:
        return {"what": what, "data": data}

    async def pump(wanted: int) -> None:
        while len(heard) < wanted:
            heard.extend((str(m.get("tell") or m.get("what") or ""), m) for m in end.read() or [])
            await asyncio.sleep(0)

    async def go() -> Data:
        child = ChildEnd(theirs, answer)
        await child.run()
        end.send({"ask": 5, "what": "health", "data": 1})
        await pump(1)
        asked = asyncio.ensure_future(child.ask("status"))
        await pump(2)
        end.send({"answer": heard[1][1]["ask"], "data": "fine"})
        told = await asked
        end.close()
        await child.over.wait()
        await child.close()
        return told

    assert asyncio.run(go()) == "fine"
    assert heard[0][1] == {"answer": 5, "data": {"what": "health", "data": 1}}


# --- surveys


class Ends(dict[int, SupervisorEnd]):
    """Pairs of sockets for some pids."""

    def __init__(self, *pids: int) -> None:
        pairs = {pid: socket.socketpair() for pid in pids}
        super().__init__({pid: SupervisorEnd(ours) for pid, (ours, _) in pairs.items()})
        self.theirs = {pid: theirs for pid, (_, theirs) in pairs.items()}

    def number(self, pid: int) -> int:
        (message,) = Lines().feed(self.theirs[pid].recv(4096))
        return int(message["ask"])

    def close(self) -> None:
        for pid, end in self.items():
            end.close()
            self.theirs[pid].close()


def test_survey_ends_when_all_have_answered_or_are_gone():
    surveys, ends, told = Surveys(), Ends(1, 2, 3), []
    surveys.ask(ends, ("health", None), 5.0, told.append)
    number = ends.number(1)
    surveys.answered(1, number, "a")
    surveys.answered(1, number, "twice")
    surveys.gone(2)
    assert told == []
    surveys.answered(3, number, "c")
    assert told == [{1: "a", 3: "c"}]
    ends.close()


def test_survey_ends_with_its_time_and_late_answers_are_dropped():
    surveys, ends, told = Surveys(), Ends(1, 2), []
    surveys.ask(ends, ("health", None), 5.0, told.append)
    number = ends.number(1)
    surveys.answered(1, number, "a")
    surveys.expire(5.0)
    assert told == []
    surveys.expire(5.1)
    surveys.answered(2, number, "late")
    assert told == [{1: "a"}]
    ends.close()


def test_survey_of_nobody_is_answered_at_once():
    told: list[dict[int, Data]] = []
    Surveys().ask({}, ("health", None), 5.0, told.append)
    assert told == [{}]
