"""The trace field: true, in one piece, and nobody else's words."""

from __future__ import annotations

import pytest

from millrace.engine.mail.session import Helo, Peer, Tls
from millrace.engine.servers.received import received

TLS = Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384")


HELO = Helo("c.example")
PEER = Peer("192.0.2.1")


def text(helo=HELO, peer=PEER, tls=None, *, utf8=False) -> str:
    return received("ID", "mx.example", peer, helo, tls, now=0.0, utf8=utf8).value.decode()


def test_field_names_the_peer_ourselves_and_the_time():
    assert text() == (
        " from c.example (unknown [192.0.2.1])\r\n"
        "\tby mx.example (Millrace) with ESMTP id ID;\r\n"
        "\tThu, 01 Jan 1970 00:00:00 +0000"
    )


def test_address_without_a_dot_carries_its_kind():
    assert " (unknown [IPv6:2001:db8::7])" in text(peer=Peer("2001:db8::7"))
    assert " (unknown [local])" in text(peer=Peer(""))


@pytest.mark.parametrize(
    ("helo", "tls", "utf8", "word"),
    [
        (Helo("c", extended=False), None, False, "SMTP"),
        (Helo("c"), TLS, False, "ESMTPS"),
        (Helo("c"), None, True, "UTF8SMTP"),
        (Helo("c"), TLS, True, "UTF8SMTPS"),
    ],
)
def test_protocol_word_follows_the_registry(helo, tls, utf8, word):
    assert f" with {word} id " in text(helo, tls=tls, utf8=utf8)


def test_peer_writes_no_words_of_its_own_into_the_field():
    said = text(Helo("x) by evil;\r\nSubject: hi"), Peer("192.0.2.1", rdns="a(b\r\nc"))
    assert said.startswith(
        " from x??by?evil???Subject:?hi (a?b??c [192.0.2.1])\r\n\tby mx.example "
    )
    assert text(Helo("")).startswith(" from ? (")
