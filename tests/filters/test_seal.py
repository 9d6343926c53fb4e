"""The seal filter: what it makes, arc believes, and without a key it leaves the mail alone."""

from __future__ import annotations

import asyncio

import pytest
from fakes import FakeDns, ManualClock

from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import Edited, edited
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.finding import Finding
from millrace.engine.mail.message import Message
from millrace.engine.store.keyring import ACTIVE, KeyRing
from millrace.filters.arc import Arc, CheckArc
from millrace.filters.seal import SealArc, Sealed
from millrace.filters.spf import Spf

MAIL = Message.parse(b"From: Ann <ann@a.example>\r\nSubject: hello\r\n\r\nHello.\r\n")
SENDER = Sender(Address("ann", "a.example"))


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    made = KeyRing(tmp_path_factory.mktemp("keys"))
    made.make("lists.example", "e1", "ed25519")
    made.make("lists.example", "r1", "rsa")
    return made


def seal(
    ring: KeyRing, mail: Message = MAIL, chain: str = "none", **options: str
) -> Finding[Sealed]:
    filter_ = SealArc(**{"domain": "lists.example", "authserv_id": "mx.lists.example", **options})
    envelope = Envelope("1", SENDER, (Recipient(Address("b", "b.example")),))
    spf, arc = Spf("pass", "mfrom", "a.example"), Arc(chain)  # type: ignore[arg-type]
    asks = (Edited(envelope, mail), arc, ring, ManualClock(), None, None, spf, None, None)
    return filter_.run(*asks)


def test_sealed_mail_has_a_chain_that_holds_and_our_results(ring: KeyRing) -> None:
    found = seal(ring)
    assert found.fact == Sealed("lists.example", "none")
    mail = edited(Envelope("1", SENDER, ()), MAIL, found.edits).message
    (key,) = (k for k in ring.keys("lists.example", ACTIVE) if k.selector == "r1")
    dns = FakeDns({(key.name, "TXT"): [key.record.encode()]})
    assert asyncio.run(CheckArc().run(mail, dns)) == Arc("pass", ("lists.example",))
    assert [name.decode() for name, _ in mail.headers.fields[:3]] == [
        "ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results",
    ]  # fmt: skip
    results = mail.headers.fields[2].text
    assert results == "i=1; mx.lists.example;\tspf=pass smtp.mailfrom=ann@a.example"


@pytest.mark.parametrize(
    "options", [{"selector": "e1"}, {"selector": "absent"}, {"domain": "other.example"}]
)
def test_without_its_rsa_key_nothing_is_sealed(ring: KeyRing, options: dict[str, str]) -> None:
    found = seal(ring, **options)
    assert (found.fact, found.edits) == (Sealed(), ())
    assert found.note.startswith("no RSA key")


def test_chain_that_has_ended_is_not_gone_on_with(ring: KeyRing) -> None:
    ended = Message.parse(b"ARC-Seal: i=1; cv=fail; b=x\r\nFrom: a@b.example\r\n\r\n")
    found = seal(ring, ended, "fail")
    assert (found.fact, found.edits) == (Sealed(), ())
