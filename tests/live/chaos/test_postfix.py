"""Postfix is ended and started under load: what it took is archived and delivered, once."""

from __future__ import annotations

import contextlib
import re
import smtplib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import wait_for
from live.parties import send
from live.sites import ARCHIVE, GOOD, Site, engine, mail

pytestmark = pytest.mark.live
_NUMBER = re.compile(rb"(?m)^Subject: n(\d+)\r?$")


@pytest.fixture
def site(root: None, new_folder: Callable[[str], Path]) -> Iterator[Site]:
    """A Postfix beside a daemon with an archive."""
    made = Site(engine(new_folder("restart") / "here", ARCHIVE).start())
    yield made
    made.close()


class Sender(threading.Thread):
    """Sends numbered mails until it is told to end; knows which were taken."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.taken: list[int] = []
        self.over = threading.Event()
        self._port = port

    def run(self) -> None:
        number = 0
        while not self.over.wait(0.02):
            number += 1
            with contextlib.suppress(OSError, smtplib.SMTPException):
                send(self._port, mail(f"n{number}"), "a@good.example", "ann@rcpt.example", ip=GOOD)
                self.taken.append(number)


def test_what_postfix_took_before_and_after_a_restart_is_there_once(site: Site) -> None:
    sender = Sender(site.port)
    sender.start()
    wait_for(lambda: len(sender.taken) > 10, "mails before")
    site.postfix.stop()
    before = len(sender.taken)
    site.postfix.start()
    wait_for(lambda: len(sender.taken) > before + 10, "mails after", 40)
    sender.over.set()
    sender.join()
    wait_for(lambda: len(site.sink.mails()) >= len(sender.taken), "deliveries", 40)
    arrived = Counter(number(each.raw) for each in site.sink.mails())
    site.close()
    archived = Counter(number(raw) for raw in site.millrace.archived())
    for found in (arrived, archived):
        assert [n for n in sender.taken if not found[n]] == []
        assert [n for n, count in found.items() if count > 1] == []


def number(raw: bytes) -> int:
    """Its number."""
    found = _NUMBER.search(raw)
    assert found is not None, raw[:500]
    return int(found[1])
