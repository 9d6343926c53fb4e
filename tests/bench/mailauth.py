"""What authentication costs: each method alone, and dkimpy's own price beside ours.

CPU microseconds, answers of the DNS at hand.  The verifier is tried on signatures that the
bench's own signer made; dkimpy gets the same octets in the same run.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from millrace.engine.mail.address import Address
from millrace.engine.mail.author import Author
from millrace.engine.mail.edits import Edited
from millrace.engine.mail.envelope import Envelope, Sender
from millrace.engine.mail.message import Body, Message
from millrace.engine.mail.session import Helo, Peer
from millrace.engine.mailauth import spf
from millrace.engine.mailauth.results import Method, written
from millrace.engine.net.dns import BudgetedDns, CachedDns
from millrace.engine.net.zone import ZoneDns
from millrace.engine.services import SystemClock
from millrace.engine.store.keyring import SigningKey
from millrace.filters.dkim import CheckDkim, Dkim
from millrace.filters.dmarc import AlignDmarc
from millrace.filters.sign import SignDkim
from millrace.filters.spf import CheckSpf, Spf

from . import corpus as mails
from .corpus import Corpus, Domain
from .keys import Key, ed25519_key, rsa_key, signature
from .report import Figure

Timed = Callable[[Callable[[], Any]], float]
CLOCK = SystemClock()
SIZES = ((2, "2 KB"), (10, "10 KB"), (1024, "1 MB"))
MAKERS: tuple[Callable[[random.Random], Key], ...] = (
    lambda chance: rsa_key(chance, 1024),
    rsa_key,
    ed25519_key,
)


def figures(corpus: Corpus, timed: Timed) -> Iterator[Figure]:
    """Every method, one after the other."""
    yield from _spf_figures(corpus, timed)
    for size, told in SIZES:
        for make in MAKERS:
            yield _verifying(size, told, make(random.Random(size)), timed)
    for size, told in SIZES:
        for key in (_signing_rsa(), _signing_ed25519()):
            yield _signing(size, told, key, timed)
    yield Figure("DMARC, policy at the author's domain", timed(_dmarc(corpus, "")))
    yield Figure("DMARC, policy three labels above", timed(_dmarc(corpus, "a.b.c.")))
    yield Figure("A-R field of four methods, written", timed(_results))


# --- SPF


def _spf_figures(corpus: Corpus, timed: Timed) -> Iterator[Figure]:
    for told, kind in (("flat", 0), ("a mx", 1), ("eight includes", 4)):
        mail = next(m for m in corpus.mails if int(m.host[-10:-8]) % 5 == kind)
        domain = mail.host.removeprefix("mail.")
        given = (Peer(mail.ip), Helo(mail.host), Sender(Address("a", domain)))
        resolver, warm = ZoneDns.of(corpus.zone), _dns(corpus.zone)
        yield Figure(
            f"SPF, {told}, the same peer again",
            timed(lambda g=given, d=warm: CheckSpf().run(*g, d, CLOCK)),  # type: ignore[misc]
        )
        yield Figure(
            f"SPF, {told}, a peer that is new, names cached",
            timed(lambda g=given, d=warm: _as_new(g, d)),  # type: ignore[misc]
        )
        yield Figure(
            f"SPF, {told}, nothing in the cache",
            timed(lambda g=given, r=resolver: _as_new(g, _cold(r))),  # type: ignore[misc]
        )


async def _as_new(given: tuple[Peer, Helo, Sender], dns: BudgetedDns) -> object:
    spf._known.forget()
    return await CheckSpf().run(*given, dns, CLOCK)


def _dns(zone: mails.Zone) -> BudgetedDns:
    return _cold(ZoneDns.of(zone))


def _cold(resolver: ZoneDns) -> BudgetedDns:
    return BudgetedDns(CachedDns(resolver, time.monotonic), lookups=10**9)


# --- DKIM


def _verifying(size: int, told: str, key: Key, timed: Timed) -> Figure:
    domain = Domain(0, (key, key))
    head, body = _mail(domain.name, size)
    raw = signature(head, body, domain.name, key) + head + b"\r\n" + body
    message, dns = Message.parse(raw), _dns(domain.zone())
    record = key.record.encode()
    bits = f"-{key.secret.key_size}" if isinstance(key.secret, rsa.RSAPrivateKey) else ""
    assert dkim.verify(raw, dnsfunc=lambda *_, **__: record)
    return Figure(
        f"DKIM verify, {key.algorithm}{bits}, {told}",
        timed(lambda: CheckDkim().run(_unheard(message), dns, CLOCK)),
        beside=timed(lambda: _silent(dkim.verify(raw, dnsfunc=lambda *_, **__: record))),
        whose="dkimpy",
    )


def _signing(size: int, told: str, key: SigningKey, timed: Timed) -> Figure:
    head, body = _mail("a.example", size)
    raw = head + b"\r\n" + body
    envelope, message = Envelope("1", Sender(None), ()), Message.parse(raw)
    ring = _Ring(key)
    secret, algorithm = _for_dkimpy(key), key.algorithm.encode()

    def theirs() -> None:
        dkim.sign(raw, b"s", b"a.example", secret, signature_algorithm=algorithm)

    return Figure(
        f"DKIM sign, {key.algorithm}, {told}",
        timed(lambda: SignDkim().run(Edited(envelope, _unheard(message)), ring, CLOCK)),
        beside=timed(theirs),
        whose="dkimpy",
    )


class _Ring:
    """One key for everybody."""

    def __init__(self, key: SigningKey) -> None:
        self._keys = (key,)

    def signers(self, domain: str) -> tuple[SigningKey, ...]:
        return self._keys


def _signing_rsa() -> SigningKey:
    return SigningKey("a.example", "s", rsa.generate_private_key(65537, 2048))


def _signing_ed25519() -> SigningKey:
    return SigningKey("a.example", "s", ed25519.Ed25519PrivateKey.generate())


def _for_dkimpy(key: SigningKey) -> bytes:
    if isinstance(key.private, ed25519.Ed25519PrivateKey):
        return base64.b64encode(key.private.private_bytes_raw())
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _unheard(message: Message) -> Message:
    """The same mail, of whose body nobody has made a hash yet."""
    return Message(message.headers, Body(message.body.head(message.body.size)))


def _mail(domain: str, size: int) -> tuple[bytes, bytes]:
    head = (
        f"From: a@{domain}\r\nTo: b@rcpt.example\r\nSubject: some words\r\n"
        "Date: Mon, 16 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@x.example>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
    ).encode()
    return head, mails.prose(random.Random(size), size * 1024).encode()


def _silent(_: object) -> None:
    """A result that nobody awaits."""


# --- DMARC and Authentication-Results


def _dmarc(corpus: Corpus, below: str) -> Callable[[], Any]:
    domain, dns = corpus.mails[0].sender.rpartition("@")[2], _dns(corpus.zone)
    author = Author((Address("a", below + domain),))
    spf, signed = Spf("pass", "mfrom", domain), Dkim("none")
    return lambda: AlignDmarc().run(author, spf, signed, dns)


_METHODS = (
    Method("spf", "pass", (("smtp", "mailfrom", "a@b.example"),)),
    Method("dkim", "pass", (("header", "d", "b.example"), ("header", "s", "s1"))),
    Method("arc", "fail", (), "the body was altered after the newest seal"),
    Method("dmarc", "pass", (("header", "from", "b.example"), ("policy", "dmarc", "reject"))),
)


def _results() -> None:
    written("mx.rcpt.example", _METHODS)
