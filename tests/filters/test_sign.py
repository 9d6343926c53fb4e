"""Signing: what we sign, dkimpy and our own verifier accept, and nothing can be added to it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dkim
import pytest
from fakes import FakeDns, ManualClock

from millrace.engine.errors import Misconfigured
from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import Edited, edited
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.finding import Finding
from millrace.engine.mail.message import Message
from millrace.engine.mailauth.bodyhash import hash_body
from millrace.engine.mailauth.dkim import judge, read_signatures
from millrace.engine.store.keyring import ACTIVE, NEXT, OLD, KeyRing
from millrace.filters.sign import SignDkim, Signed

HEAD = (
    b"From: Ann <ann@mail.a.example>\r\nTo: bob@b.example\r\nSubject: hello\r\n"
    b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n"
)
MAIL = HEAD + b"Hello  Bob,\t\r\n\r\nsee you.\r\n\r\n\r\n"
CLOCK = ManualClock(1_795_000_000.0)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    made = KeyRing(tmp_path / "keys")
    made.make("a.example", "r1", "rsa")
    made.make("a.example", "e1", "ed25519")
    return made


def sign(ring: KeyRing, raw: bytes = MAIL) -> tuple[Finding[Signed], bytes]:
    """The finding, and the mail with its edits."""
    envelope = Envelope("1", Sender(Address("a", "a.example")), (Recipient(Address("b", "b.c")),))
    message = Message.parse(raw)
    found = SignDkim().run(Edited(envelope, message), ring, CLOCK)
    return found, bytes(edited(envelope, message, found.edits).message)


def published(ring: KeyRing, state: str = ACTIVE) -> FakeDns:
    keys = ring.keys("a.example", state)
    return FakeDns({(key.name, "TXT"): [key.record.encode()] for key in keys})


def verified(raw: bytes, dns: FakeDns) -> list[str]:
    message = Message.parse(raw)
    unjudged = read_signatures(message.headers, CLOCK.now())
    bodies = hash_body(message.body.chunks(), {u.wish for u in unjudged if u.wish})
    found = asyncio.run(judge(unjudged, message.headers, bodies, dns))
    return [signature.result for signature in found]


def test_every_active_key_of_the_authors_domain_signs(ring: KeyRing) -> None:
    found, raw = sign(ring)
    assert found.fact == Signed("a.example", ("e1", "r1"))
    assert verified(raw, published(ring)) == ["pass", "pass"]


def test_dkimpy_accepts_both_signatures(ring: KeyRing) -> None:
    dns = published(ring)

    def texts(name: bytes, timeout: float = 5) -> bytes:
        return b"".join(dns.table[name.decode().rstrip("."), "TXT"])

    _, raw = sign(ring)
    assert [dkim.DKIM(raw).verify(number, dnsfunc=texts) for number in (0, 1)] == [True, True]


@pytest.mark.parametrize(
    "added", [b"From: eve@e.example", b"Subject: other", b"Reply-To: eve@e.example", b"Cc: x@y.z"]
)
def test_a_field_that_readers_see_cannot_be_added(ring: KeyRing, added: bytes) -> None:
    _, raw = sign(ring)
    assert verified(added + b"\r\n" + raw, published(ring)) == ["fail", "fail"]


def test_a_field_that_others_add_does_no_harm(ring: KeyRing) -> None:
    _, raw = sign(ring)
    assert verified(b"Received: from x\r\n" + raw, published(ring)) == ["pass", "pass"]


def test_a_body_that_grows_breaks_the_signature(ring: KeyRing) -> None:
    _, raw = sign(ring)
    assert verified(raw + b"more\r\n", published(ring)) == ["fail", "fail"]


@pytest.mark.parametrize("author", [b"ann@other.example", b"ann@a.example, eve@other.example"])
def test_who_is_not_ours_is_not_signed(ring: KeyRing, author: bytes) -> None:
    found, _ = sign(ring, b"From: %b\r\n\r\nx\r\n" % author)
    assert (found.fact, found.edits) == (Signed(), ())


def test_a_mail_without_author_is_left_alone(ring: KeyRing) -> None:
    found, _ = sign(ring, b"Subject: x\r\n\r\nx\r\n")
    assert found.edits == ()


def test_keys_to_come_and_retired_keys_do_not_sign(ring: KeyRing) -> None:
    ring.make("a.example", "r2", "rsa", NEXT)
    old = next(key for key in ring.keys("a.example", ACTIVE) if key.selector == "r1")
    ring.move(old, ACTIVE, OLD)
    found, _ = sign(ring)
    assert found.fact == Signed("a.example", ("e1",))


def test_a_key_that_others_may_read_is_refused(ring: KeyRing, tmp_path: Path) -> None:
    (tmp_path / "keys" / "a.example" / "r1.pem").chmod(0o644)
    with pytest.raises(Misconfigured, match="others may read this key"):
        sign(ring)


def test_a_selector_is_used_once(ring: KeyRing) -> None:
    with pytest.raises(Misconfigured, match="there is a key of that name"):
        ring.make("a.example", "r1", "ed25519")


def test_a_domain_cannot_lead_out_of_the_folder(ring: KeyRing) -> None:
    assert ring.signers("../a.example") == ()


def test_long_lists_of_fields_are_folded_and_still_fit(ring: KeyRing) -> None:
    raw = HEAD.replace(b"To:", b"List-Unsubscribe: <x:y>\r\nCc: c@d.example\r\nTo:") + b"x\r\n"
    _, signed = sign(ring, raw)
    assert max(len(line) for line in signed.split(b"\r\n")) < 120
    assert verified(signed, published(ring)) == ["pass", "pass"]
