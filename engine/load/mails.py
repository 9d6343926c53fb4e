"""The mails of a load: from a folder, an mbox, or made up.

Made-up mails come from as many senders and go to as many recipients as asked for, each
from an address of its own network, so that greylist and counters meet strangers.

Fails: `read` raises Misconfigured for a path without mails.
"""

from __future__ import annotations

import contextlib
import itertools
import mailbox
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from millrace.engine.errors import Fault, Misconfigured

MAILS_MAX = 10_000  # read from a folder or mbox; more are the same again
_WORDS = """meeting report project team week order customer invoice schedule office question
thanks review release version file document update system server result plan budget contract
comment agenda minutes number monday friday morning regards hello member archive patch driver
memory value thread reply package library source branch problem example people""".split()  # noqa: SIM905 - a page of words reads better so


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail with CRLF line ends, and its envelope: who brings it, from where, to whom."""

    raw: bytes
    ip: str
    host: str
    sender: str
    recipients: tuple[str, ...]


class Mails(Protocol):
    """The n-th mail of a load, the same for the same number."""

    def __call__(self, number: int) -> Mail: ...


def made(distinct: int, *, octets: int = 8000, recipient_domain: str = "rcpt.example") -> Mails:
    """Mails of about so many octets, from `distinct` senders to `distinct` recipients."""
    chance = random.Random(1)
    bodies = [_body(chance, octets) for _ in range(64)]

    def mail(number: int) -> Mail:
        n = number % distinct
        domain = f"d{n % 1000}.example"
        sender, recipient = f"s{n}@{domain}", f"r{n}@{recipient_domain}"
        head = (
            f"Received: from c{n}.{domain} by mail.{domain}; Mon, 16 Nov 2026 10:00:00 +0000\r\n"
            f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: {_WORDS[n % len(_WORDS)]} {n}\r\n"
            f"Date: Mon, 16 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}.load@{domain}>\r\n"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        )
        ip = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
        raw = head.encode() + bodies[n % len(bodies)]
        return Mail(raw, ip, f"mail.{domain}", sender, (recipient,))

    return mail


def _body(chance: random.Random, octets: int) -> bytes:
    lines: list[str] = []
    while octets > 0:
        lines.append(" ".join(chance.choices(_WORDS, k=9)).capitalize() + ".")
        octets -= len(lines[-1]) + 2
    return ("\r\n".join(lines) + "\r\n").encode()


def read(path: Path, sender: str, recipient: str, ip: str) -> Mails:
    """The mails of a folder (or Maildir) or an mbox, in turn, under one envelope."""
    raws = [_with_crlf(raw) for raw in itertools.islice(_raws(path), MAILS_MAX)]
    if not raws:
        hint = "Name a folder of mails, a Maildir, or an mbox file."
        raise Misconfigured(Fault(f"there are no mails in {path}", hint))
    host = f"mail.{sender.rpartition('@')[2]}"
    mails = [Mail(raw, ip, host, sender, (recipient,)) for raw in raws]
    return lambda number: mails[number % len(mails)]


def _raws(path: Path) -> Iterator[bytes]:
    if path.is_dir():
        files = (file for file in sorted(path.rglob("*")) if file.is_file())
        return (file.read_bytes() for file in files if not file.name.startswith("."))
    if path.is_file():
        return _of_mbox(path)
    return iter(())


def _of_mbox(path: Path) -> Iterator[bytes]:
    with contextlib.closing(mailbox.mbox(path, create=False)) as box:
        yield from (box.get_bytes(key) for key in box.iterkeys())


def _with_crlf(raw: bytes) -> bytes:
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
