"""One milter door with obedient filters, as a process: python milter_door.py BACKEND [PLAN].

The sender's local part tells the filters of the plan "obey" what to do with the mail, the
recipient's what to do with that recipient; "hushed" has seven filters that do nothing.
Prints the address; SIGTERM ends it with status 0, SIGHUP is told on standard output.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import sys
from dataclasses import dataclass

from fakes import ManualClock

from millrace.engine.document import Document
from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    ChangeSender,
    Edit,
    InsertHeader,
    RemoveHeader,
    RemoveRecipient,
    ReplaceBody,
)
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.finding import Fact, Finding
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Helo, Login, Peer
from millrace.engine.mail.verdict import Action, Reply, Verdict
from millrace.engine.net import listener
from millrace.engine.pipeline.graph import compile_plan
from millrace.engine.pipeline.spec import load
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.servers import milter_backends
from millrace.engine.servers.milter import Bounds

NEW_BODY = b"".join(b"%06d another line of another body\r\n" % n for n in range(5000))
ANN = Address("ann", "mx.example")
BOB = Address("bob", "mx.example")
LINES = Reply(550, "5.7.1", "first line, 100% sure\nsecond line")
MAX_BODY = 4 << 20


@dataclass(frozen=True, slots=True)
class Asked(Fact):
    """What a recipient's name asked for."""

    word: str


@dataclass(frozen=True, slots=True)
class ObeyRecipient:
    """Refuse "nobody", defer "later", drop "lost"."""

    def run(self, recipient: Recipient) -> Finding[Asked]:
        word = recipient.address.local
        verdict = {
            "nobody": Verdict(Action.REJECT, Reply(550, "5.1.1", "nobody of that name")),
            "later": Verdict(Action.DEFER),
            "lost": Verdict(Action.DISCARD),
        }.get(word)
        return Finding(Asked(word), advice=verdict) if verdict else Finding(Asked(word))


@dataclass(frozen=True, slots=True)
class Seen(Fact):
    """What arrived."""

    octets: int


VERDICTS = {
    "reject": Verdict(Action.REJECT, LINES),
    "refuse": Verdict(Action.REJECT),
    "tempfail": Verdict(Action.DEFER),
    "greylist": Verdict(Action.DEFER, Reply(451, "4.7.1", "come again")),
    "discard": Verdict(Action.DISCARD),
    "hold": Verdict(Action.QUARANTINE),
}
EDITS: dict[str, tuple[Edit, ...]] = {
    "one": (AddHeader("X-Mail", "one"),),
    "two": (AddHeader("X-Mail", "two"), AddHeader("X-More", "of two")),
    "fields": (
        ChangeHeader("Subject", "changed", 1),
        RemoveHeader("X-Old", 2),
        InsertHeader("X-Top", "on top\n\tand folded", 0),
        InsertHeader("X-Third", "Grüße", 3),
        AddHeader("X-Last", "below"),
    ),
    "envelope": (
        ChangeSender(Address("bounce", "mx.example"), ("SIZE=10",)),
        AddRecipient(ANN),
        AddRecipient(BOB, ("NOTIFY=NEVER", "ORCPT=rfc822;bob@mx.example")),
        RemoveRecipient(Address("you", "mx.example")),
    ),
    "recipients": (AddRecipient(ANN), RemoveRecipient(Address("you", "mx.example"))),
    "nullsender": (ChangeSender(None),),
    "body": (ReplaceBody(NEW_BODY),),
    "shortbody": (ReplaceBody(b"another\r\n"),),
    "empty": (ReplaceBody(b""),),
}


@dataclass(frozen=True, slots=True)
class ObeySender:
    """Say what was heard, in a header field, and do as the sender's name says."""

    def run(
        self,
        peer: Peer,
        helo: Helo | None,
        sender: Sender,
        login: Login | None,
        envelope: Envelope,
        message: Message,
    ) -> Finding[Seen]:
        word = sender.address.local if sender.address else ""
        if word == "broken":
            raise RuntimeError("a filter is broken")
        recipients = [" ".join((r.address.local, *r.options)) for r in envelope.recipients]
        heard = [
            f"{peer.ip} {peer.port} {peer.rdns}",
            helo.name if helo else "",
            " ".join((word, *sender.options)),
            *recipients,
            login.user if login else "",
            envelope.id,
            digest(message.headers.raw),
            digest(bytes(message.body)),
        ]
        told = InsertHeader("X-Heard", "; ".join(heard))
        edits = (told, *EDITS.get(word, ()))
        verdict = VERDICTS.get(word, Verdict())
        return Finding(Seen(message.size), advice=verdict, edits=edits)


@dataclass(frozen=True, slots=True)
class Nothing:
    """Look at the mail, and say nothing."""

    def run(self, message: Message) -> Seen:
        return Seen(0)


FILTERS: dict[str, type] = {
    "obey_recipient": ObeyRecipient,
    "obey_sender": ObeySender,
    **{f"nothing{n}": type(f"Nothing{n}", (Nothing,), {}) for n in range(7)},
}
PLANS = {
    "obey": ("obey_recipient", "obey_sender"),
    "hushed": tuple(f"nothing{n}" for n in range(7)),
}


def digest(data: bytes) -> str:
    return f"{len(data)} {hashlib.sha256(data).hexdigest()[:16]}"


def serving(plan: str) -> Serving:
    text = 'policy = "open"\n' + "".join(f'[[filter]]\nuse = "{n}"\n' for n in PLANS[plan])
    spec = load(Document(text, "test.toml"), "test", FILTERS.__getitem__)
    made = compile_plan(spec, Document("", "open.toml"), "open")
    return Serving(made, dict, ManualClock(), lambda _: None)


async def opened(
    backend: str, plan: str = "obey", address: str = "inet:0@127.0.0.1"
) -> milter_backends.MilterListener:
    return await milter_backends.listen(
        backend,
        address,
        serving(plan),
        "door",
        Bounds(message=MAX_BODY),
        net_bounds=listener.Bounds(idle=60.0),
        mode=0o660,
    )


async def main(*arguments: str) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: print("heard SIGHUP", flush=True))
    door = await opened(*arguments)
    print(door.address, flush=True)
    await ended.wait()
    await door.close(30.0)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
