"""Who really sends, by the word of a trusted proxy."""

from __future__ import annotations

import pytest

from millrace.engine.errors import ProtocolError
from millrace.engine.mail.session import Helo, Login, Peer
from millrace.engine.servers.origin import Origin

HERE = Origin(Peer("127.0.0.1", 25, "localhost"), Helo("proxy"))


def test_what_the_proxy_does_not_say_stays():
    assert HERE.told([]) == HERE
    assert HERE.told([("IDENT", "x"), ("HELO", "")]) == HERE


def test_client_of_the_proxy_replaces_the_proxy():
    told = HERE.told([("ADDR", "::ffff:192.0.2.1"), ("PORT", "99"), ("NAME", "n.example")])
    assert told.peer == Peer("192.0.2.1", 99, "n.example")
    assert told.named


def test_name_of_the_proxy_is_not_the_name_of_its_client():
    assert HERE.told([("ADDR", "192.0.2.1")]).peer == Peer("192.0.2.1", 0, "")
    assert HERE.told([("ADDR", "192.0.2.1"), ("NAME", "")]).named


@pytest.mark.parametrize(("word", "extended"), [("SMTP", False), ("ESMTP", True), ("esmtps", True)])
def test_protocol_says_whether_the_client_said_ehlo(word, extended):
    told = HERE.told([("HELO", "c"), ("PROTO", word)])
    assert told.helo == Helo("c", extended)


def test_login_is_believed_from_xclient():
    assert HERE.told([("LOGIN", "ann")]).login == Login("ann", "XCLIENT")


@pytest.mark.parametrize("port", ["", "x", "-1", "123456"])
def test_odd_port_is_no_port(port):
    assert HERE.told([("ADDR", "192.0.2.1"), ("PORT", port)]).peer.port == 0


def test_address_that_is_none_is_refused():
    with pytest.raises(ProtocolError) as caught:
        HERE.told([("ADDR", "host.example")])
    assert caught.value.reply.startswith("501 5.5.4")
