"""Filters for tests, found by entry point as a third party's are: a mail says what they do.

The field `X-Do` holds words, `insert, body, wait=2`; recipients are treated by their name.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from millrace.engine.mail import edits
from millrace.engine.mail.address import Address
from millrace.engine.mail.envelope import Recipient
from millrace.engine.mail.finding import (
    DISCARD,
    PASS,
    QUARANTINE,
    TAG,
    Fact,
    Finding,
    defer,
    reject,
)
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Login, Peer, Tls
from millrace.engine.mail.verdict import Action, Reply, Verdict

LONG_BODY = b"".join(b"Line %06d of another body.\r\n" % at for at in range(8000))
EDITS: dict[str, edits.Edit] = {
    "insert": edits.InsertHeader("X-Inserted", "on top"),
    "insert-second": edits.InsertHeader("X-Second", "below the first", 1),
    "insert-third": edits.InsertHeader("X-Third", "below the second", 2),
    "add": edits.AddHeader("X-Added", "at the end"),
    "add-folded": edits.AddHeader("X-Folded", "one\n\ttwo"),
    "add-plain": edits.AddHeader("X-Plain", "yes"),
    "change": edits.ChangeHeader("X-Old", "new words"),
    "change-second": edits.ChangeHeader("X-Twice", "changed", 2),
    "change-absent": edits.ChangeHeader("X-Absent", "made"),
    "delete": edits.RemoveHeader("X-Twice", 1),
    "delete-both": edits.RemoveHeader("X-Twice", 2),
    "body": edits.ReplaceBody(b"Another body.\r\n"),
    "long-body": edits.ReplaceBody(LONG_BODY),
    "sender": edits.ChangeSender(Address("changed", "good.example")),
    "null-sender": edits.ChangeSender(None),
    "more": edits.AddRecipient(Address("added", "rcpt.example")),
    "fewer": edits.RemoveRecipient(Address("bob", "rcpt.example")),
}
ADVICE = {
    "hold": QUARANTINE,
    "tag": TAG,
    "discard": DISCARD,
    "refuse": reject("5.7.1", "No,\nnot in this house\nand not today"),
    "later": defer("4.7.1", "Not now"),
    "bare": Verdict(Action.REJECT),
    "down": Verdict(Action.DEFER, Reply(421, "4.3.2", "Going down")),
}
TO = {"refused": ADVICE["refuse"], "later": ADVICE["later"], "dropped": DISCARD}


@dataclass(frozen=True, slots=True)
class Seen(Fact):
    """Who talks to us."""

    ip: str
    helo: str
    user: str
    mechanism: str
    tls: str
    cipher: str


@dataclass(frozen=True, slots=True)
class LookAround:
    """Write down what the connection is."""

    def run(self, peer: Peer, helo: Helo, login: Login | None, tls: Tls | None) -> Seen:
        user, mechanism = (login.user, login.mechanism) if login else ("", "")
        version, cipher = (tls.version, tls.cipher) if tls else ("", "")
        return Seen(peer.ip, helo.name, user, mechanism, version, cipher)


@dataclass(frozen=True, slots=True)
class ObeyRecipient:
    """Treat a recipient as its name says."""

    def run(self, recipient: Recipient) -> Finding:  # type: ignore[type-arg]
        return Finding(advice=TO.get(recipient.local, PASS))


@dataclass(frozen=True, slots=True)
class ObeyMail:
    """Do what the field X-Do asks for, after the whole mail is here."""

    async def run(self, message: Message) -> Finding:  # type: ignore[type-arg]
        words = _words(message.headers)
        for word in words:
            if word.startswith("wait="):
                await asyncio.sleep(float(word[5:]))
        made = tuple(EDITS[word] for word in words if word in EDITS)
        advice = [ADVICE[word] for word in words if word in ADVICE]
        return Finding(advice=advice[0] if advice else PASS, edits=made)


def _words(headers: Headers) -> list[str]:
    found = headers.all(b"X-Do")
    return [word.strip() for word in found[0].text.split(",")] if found else []
