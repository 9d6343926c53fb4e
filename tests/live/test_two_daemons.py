"""Two daemons of two workers each over one Redis: what they agree on, and one is killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from live.parties import Millrace
from live.redises import RedisServer
from live.senders import Senders
from live.talkers import MilterTalk

from millrace.engine.wire import milter as wire
from millrace.engine.wire.milter import Answer

pytestmark = pytest.mark.live
SETTINGS = """
profile = "production"
workers = 2
[[listener]]
kind = "milter"
address = "inet:0@127.0.0.1"
[[listener]]
kind = "smtp"
address = "inet:0@127.0.0.1"
deliver = "maildir:Maildir"
[http]
address = ""
[dns]
zone = "zone.json"
[log]
decisions = "decisions.jsonl"
[state]
url = "{url}"
"""
RAW = b"From: a@good.example\r\nTo: ann@rcpt.example\r\nSubject: hello\r\n\r\nHello.\r\n"
GREYLIST = """
[[filter]]
use = "greylist"
wait = "1s"
young_wait = "1s"
allow_after = 0
on_error = "defer"
"""
RATE = """
[[filter]]
use = "ratelimit"
per = "domain"
limit = 20
window = "1d"
above = "refuse"
on_error = "defer"
"""
CONCURRENCY = """
[[filter]]
use = "concurrency"
per = "address"
limit = 3
lease = "4s"
on_error = "defer"
"""
REPUTATION = '[[filter]]\nuse = "spam"\n[[filter]]\nuse = "reputation"\non_error = "defer"\n'
ARCHIVE = '[[filter]]\nuse = "archive"\n'


class Pair:
    """The two daemons, and the Redis that they share."""

    def __init__(self, stack: ExitStack, folder: Path, pipeline: str) -> None:
        self.redis = stack.enter_context(RedisServer(folder))
        self.daemons: list[Millrace] = []
        for name in ("one", "other"):
            (folder / name).mkdir()
            made = Millrace(
                folder / name,
                SETTINGS.format(url=self.redis.url),
                **{"zone.json": "{}", "pipelines__inbound_toml": pipeline},
            )
            stack.callback(made.stop)
            self.daemons.append(made.start())

    def talk(self, number: int) -> MilterTalk:
        """A connection to one of them, by turns."""
        return MilterTalk(self.daemons[number % 2].port("milter"))

    def mail(self, number: int, sender: str = "a@good.example") -> str:
        """One mail's end: "taken", or how it was refused."""
        with contextlib.closing(self.talk(number)) as talk:
            for event in (wire.MailFrom(f"<{sender}>", ()), wire.RcptTo("<ann@rcpt.example>", ())):
                answer = talk.say(event)
                if answer is not Answer.CONTINUE:
                    return str(answer)
            return "taken" if talk.mail(RAW, sender) is not None else ""

    def facts(self, name: str) -> list[Any]:
        """What one filter measured, in the order of time."""
        records = [record for daemon in self.daemons for record in daemon.decisions()]
        records.sort(key=lambda record: str(record["time"]))
        return [record["facts"][name] for record in records if name in record["facts"]]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Callable[[str], Pair]]:
    with ExitStack() as stack:
        yield lambda pipeline: Pair(stack, tmp_path, pipeline)


def children(pid: int) -> list[int]:
    """The processes that a supervisor has made."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def crash(daemon: Millrace) -> None:
    """The whole daemon is gone at once, as with its host."""
    assert daemon.process is not None
    pids = [daemon.process.pid, *children(daemon.process.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    daemon.process.wait()


def test_who_waited_at_one_passes_at_the_other(pair: Callable[[str], Pair]) -> None:
    two = pair(GREYLIST)
    assert two.mail(0) != "taken"
    assert two.mail(1) != "taken"
    time.sleep(1.1)
    assert [two.mail(n) for n in (1, 0, 1)] == ["taken"] * 3
    wait_for(lambda: len(two.facts("greylist")) == 5, "records")
    states = [fact["state"] for fact in two.facts("greylist")]
    assert states[:2] == ["new", "early"]
    assert set(states[3:]) == {"known"}


def test_a_rate_is_the_same_for_both_however_mails_are_spread(
    pair: Callable[[str], Pair],
) -> None:
    two, taken = pair(RATE), Counter[bool]()

    def send(start: int) -> None:
        for number in range(start, start + 10):
            with contextlib.closing(two.talk(number)) as talk:
                answer = talk.say(wire.MailFrom(f"<n{number}@good.example>", ()))
                taken[answer is Answer.CONTINUE] += 1

    threads = [threading.Thread(target=send, args=(n * 10,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken == {True: 20, False: 20}


def test_mails_at_once_are_bounded_over_both_and_a_crash_gives_them_back(
    pair: Callable[[str], Pair],
) -> None:
    two = pair(CONCURRENCY)
    sender = wire.MailFrom("<a@good.example>", ())

    def began(talk: MilterTalk) -> bool:
        return talk.say(sender) is Answer.CONTINUE

    with ExitStack() as open_:
        talks = [open_.enter_context(contextlib.closing(two.talk(n))) for n in range(4)]
        assert [began(talk) for talk in talks] == [True, True, True, False]
        talks[1].close()  # a mail at the other daemon ends by a lost connection
        wait_for(lambda: began(talks[3]), "the lease of a lost connection")
        crash(two.daemons[0])  # with two mails under way
        last = open_.enter_context(contextlib.closing(two.talk(1)))
        assert not began(last)
        wait_for(lambda: began(last), "the leases of a crash", 8)


def test_a_network_is_known_at_both_for_what_came_to_either(pair: Callable[[str], Pair]) -> None:
    two = pair(REPUTATION)
    assert [two.mail(n) for n in range(6)] == ["taken"] * 6
    wait_for(lambda: len(two.facts("reputation")) >= 6, "records")
    mails = sorted(fact["mails"] for fact in two.facts("reputation"))
    assert [round(each) for each in mails] == list(range(len(mails)))


def test_one_is_killed_under_load_and_nothing_is_lost(pair: Callable[[str], Pair]) -> None:
    two = pair(GREYLIST.replace('"1s"', '"1ms"') + RATE.replace("20", "100000") + ARCHIVE)
    doors = [(kind, each.port(kind)) for each in two.daemons for kind in ("smtp", "milter")]
    warm = [f"w{n}@warm.example" for n in range(20)]
    for sender in warm:
        two.mail(0, sender)
        two.mail(0, sender)
    with Senders(doors) as senders:
        wait_for(lambda: len(two.daemons[0].decisions()) > 150, "load", 40)
        crash(two.daemons[0])
        time.sleep(1.0)
        sent = senders.end()
    bodies = Counter(
        number
        for daemon in two.daemons
        for mail in daemon.archived()
        for number in re.findall(rb"Number (\S+)\.", mail)
    )
    lost = [number for number in sent.taken if not bodies[number.encode()]]
    print(f"{len(sent.taken)} taken, {len(lost)} lost, {dict(sent.troubles)}")
    assert len(sent.taken) > 50
    assert lost == []
    assert all(two.mail(1, sender) == "taken" for sender in warm)
