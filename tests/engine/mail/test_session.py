"""The peer: one host has one name, whichever way its address was written."""

import pytest

from millrace.engine.mail.session import Peer


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:C000:0207", "192.0.2.7"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", ""),
    ],
)
def test_address_is_written_in_one_way(text, ip):
    assert Peer.at(text, 25, "mx.example") == Peer(ip, 25, "mx.example")


@pytest.mark.parametrize("text", ["192.0.2", "300.1.1.1", "mx.example", "::g", "%eth0"])
def test_text_that_is_no_address_is_refused(text):
    if text == "%eth0":
        text = "x%eth0"
    with pytest.raises(ValueError, match="does not appear"):
        Peer.at(text)


@pytest.mark.parametrize(
    ("ip", "network"),
    [("192.0.2.7", "192.0.2.0/24"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("", "")],
)
def test_network_is_what_one_operator_holds(ip, network):
    assert Peer(ip).network == network
