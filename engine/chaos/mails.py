"""Numbered mails that are sent through a drill, each answer with its times.

Every thread sends at one door, one mail after the other, each on a connection of its own,
whatever happens to the one before.

Fails: never; what goes wrong is the answer.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from millrace.engine.errors import ProtocolError
from millrace.engine.load.drive import Talk
from millrace.engine.load.mails import Mail
from millrace.engine.load.milter import MilterTalk, Script
from millrace.engine.load.smtp import SmtpTalk
from millrace.engine.net.endpoint import Endpoint

THREADS_EACH = 2
PAUSE_S = 0.02
PATIENCE_S = 40.0  # above any deadline of a pipeline
_SPAN = 1_000_000  # numbers of one thread
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who brings the mails: an address, and the sender's domain."""

    ip: str = "192.0.2.7"
    domain: str = "drill.invalid"
    recipient: str = "postmaster@drill.invalid"


@dataclass(frozen=True, slots=True)
class Answer:
    """`verdict`: accept, defer, reject, discard; or "hung up", "away", "silent"."""

    number: int
    door: str
    verdict: str
    began: float
    ended: float


class Senders:
    """Threads at all doors; a context manager."""

    def __init__(self, doors: Mapping[str, Endpoint], bearer: Bearer) -> None:
        self.answers: list[Answer] = []
        self._bearer = bearer
        self._over = threading.Event()
        kinds = [(kind, where) for kind, where in doors.items() for _ in range(THREADS_EACH)]
        self._threads = [
            threading.Thread(target=self._send, args=(n, kind, where), daemon=True)
            for n, (kind, where) in enumerate(kinds)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S + 1)

    def since(self, moment: float) -> list[Answer]:
        """The answers to mails that began later."""
        return [answer for answer in self.answers if answer.began >= moment]

    def _send(self, who: int, kind: str, where: Endpoint) -> None:
        number = who * _SPAN
        while not self._over.wait(PAUSE_S):
            number += 1
            mail = _mail(number, f"n{who}", self._bearer)
            talk: Talk = MilterTalk(Script(mail, number)) if kind == "milter" else SmtpTalk(mail)
            began = time.monotonic()
            verdict = _converse(where, talk)
            self.answers.append(Answer(number, kind, verdict, began, time.monotonic()))


def _mail(number: int, sender: str, bearer: Bearer) -> Mail:
    # the author's domain is new each time, so that name servers are asked, not caches
    text = (
        f"From: <{sender}@m{number}.{bearer.domain}>\r\nTo: <{bearer.recipient}>\r\n"
        f"Subject: drill {number}\r\nMessage-ID: <{number}.drill@{bearer.domain}>\r\n"
        "Date: Mon, 16 Nov 2026 10:00:00 +0000\r\n\r\n"
        f"Number {number}.\r\n"
    )
    envelope = f"{sender}@{bearer.domain}"
    return Mail(text.encode(), bearer.ip, bearer.domain, envelope, (bearer.recipient,))


def _converse(where: Endpoint, talk: Talk) -> str:
    """One mail, to its verdict."""
    try:
        with socket.create_connection((where.host, where.port), PATIENCE_S) as peer:
            peer.settimeout(PATIENCE_S)
            peer.sendall(talk.opening())
            while not talk.verdict:
                peer.sendall(talk.receive(peer.recv(_CHUNK)))
            if talk.verdict != "hung up":
                peer.sendall(talk.farewell())
    except TimeoutError:
        return talk.verdict or "silent"
    except ConnectionRefusedError:
        return "away"
    except (OSError, ProtocolError):
        return talk.verdict or "hung up"
    return talk.verdict
