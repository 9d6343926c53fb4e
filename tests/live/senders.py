"""Senders: threads that send numbered mails at both doors until they are told to end."""

from __future__ import annotations

import contextlib
import smtplib
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

from live.talkers import MilterTalk

MAILS_EACH = 5  # on one connection
MAIL = (
    "From: a@good.example\r\nTo: ann@rcpt.example\r\nSubject: number {number}\r\n"
    "Message-ID: <{number}@good.example>\r\n\r\nNumber {number}.\r\n"
)


@dataclass
class Sent:
    """What became of the mails: numbers with an accept, and what went wrong instead."""

    taken: list[str] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)


class Senders:
    """`doors` are pairs of a kind and a port; a context manager, one thread for each."""

    def __init__(self, doors: list[tuple[str, int]]) -> None:
        self.sent = Sent()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(f"{n}", kind, port))
            for n, (kind, port) in enumerate(doors)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> Sent:
        """No further mail; those under way are sent."""
        self._over.set()
        for thread in self._threads:
            thread.join(60)
        return self.sent

    def _send(self, who: str, kind: str, port: int) -> None:
        count = 0
        while not self._over.is_set():
            try:
                with contextlib.closing(
                    _Smtp(port) if kind == "smtp" else _Milter(port)
                ) as session:
                    for number in range(count, count + MAILS_EACH):
                        if not session.begin(f"{who}x{number}"):
                            break  # the server took leave between two mails
                        self._note(f"{who}x{number}", session.finish(f"{who}x{number}"))
            except (OSError, smtplib.SMTPException) as error:
                self.sent.troubles[f"{kind}: {error!r}"] += 1
            count += MAILS_EACH

    def _note(self, number: str, answer: str) -> None:
        if answer == "taken":
            self.sent.taken.append(number)
        else:
            self.sent.troubles[answer] += 1


class _Smtp:
    def __init__(self, port: int) -> None:
        self._smtp = smtplib.SMTP("127.0.0.1", port, "client.example", 20)

    def begin(self, number: str) -> bool:
        try:
            self._smtp.ehlo_or_helo_if_needed()
            code, _ = self._smtp.mail(f"n{number}@good.example")
        except smtplib.SMTPServerDisconnected:
            return False
        return code == 250

    def finish(self, number: str) -> str:
        self._smtp.rcpt("ann@rcpt.example")
        code, text = self._smtp.data(MAIL.format(number=number))
        return "taken" if code == 250 else f"{code} {text!r}"

    def close(self) -> None:
        self._smtp.close()


class _Milter:
    def __init__(self, port: int) -> None:
        self._talk = MilterTalk(port)

    def begin(self, number: str) -> bool:
        return True

    def finish(self, number: str) -> str:
        answer = self._talk.mail(MAIL.format(number=number).encode(), f"n{number}@good.example")
        return "taken" if "CONTINUE" in str(answer) or "ACCEPT" in str(answer) else str(answer)

    def close(self) -> None:
        self._talk.close()
