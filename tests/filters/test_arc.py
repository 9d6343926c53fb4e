"""The arc filter: a chain is worth what its sealers are."""

from __future__ import annotations

import asyncio
import base64

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fakes import FakeDns

from millrace.engine.mail.message import Message
from millrace.filters.arc import Arc, CheckArc

MAIL = (
    b"Authentication-Results: lists.example; spf=pass smtp.mailfrom=ann@a.example\r\n"
    b"From: Ann <ann@a.example>\r\nTo: list@lists.example\r\nSubject: hello\r\n"
    b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@a.example>\r\n\r\nHello.\r\n"
)


@pytest.fixture(scope="module")
def sealed() -> tuple[bytes, FakeDns]:
    """A mail that dkimpy has sealed, and the DNS with the sealer's key."""
    key = rsa.generate_private_key(65537, 2048)
    forms = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL)
    private = key.private_bytes(*forms, serialization.NoEncryption())
    der = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    public = base64.b64encode(key.public_key().public_bytes(*der))
    fields = dkim.arc_sign(MAIL, b"k", b"lists.example", private, b"lists.example")
    dns = FakeDns({("k._domainkey.lists.example", "TXT"): [b"v=DKIM1; k=rsa; p=" + public]})
    return b"".join(fields) + MAIL, dns


def check(raw: bytes, dns: FakeDns, *trust: str) -> Arc:
    return asyncio.run(CheckArc(trust).run(Message.parse(raw), dns))


def test_a_mail_without_seals_has_no_chain() -> None:
    assert check(MAIL, FakeDns()) == Arc("none")


def test_a_chain_that_holds_names_its_sealer_and_is_not_trusted_by_itself(
    sealed: tuple[bytes, FakeDns],
) -> None:
    assert check(*sealed) == Arc("pass", ("lists.example",))


@pytest.mark.parametrize("trust", ["lists.example", "example", "LISTS.example"])
def test_a_chain_of_a_listed_sealer_is_trusted(sealed: tuple[bytes, FakeDns], trust: str) -> None:
    assert check(*sealed, trust).trusted


def test_a_sealer_whose_name_only_ends_alike_is_not_trusted(
    sealed: tuple[bytes, FakeDns],
) -> None:
    assert not check(*sealed, "ists.example").trusted


def test_a_body_that_changed_after_the_seal_breaks_the_chain(
    sealed: tuple[bytes, FakeDns],
) -> None:
    raw, dns = sealed
    found = check(raw.replace(b"Hello.", b"Hallo."), dns, "lists.example")
    assert (found.result, found.trusted) == ("fail", False)
    assert found.reason == "the body was altered after the newest seal"


def test_a_key_that_is_gone_breaks_the_chain(sealed: tuple[bytes, FakeDns]) -> None:
    assert check(sealed[0], FakeDns()).result == "fail"
