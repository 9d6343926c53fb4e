"""The upstream filter: whose results are believed, and what follows from them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fakes import FakeDns, Walker

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.mail.author import Author
from millrace.engine.mail.edits import InsertHeader
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Message
from millrace.engine.mail.session import Peer
from millrace.engine.pipeline import spec
from millrace.engine.pipeline.graph import compile_plan
from millrace.engine.store.keyring import KeyRing
from millrace.filters.dkim import Dkim
from millrace.filters.dmarc import AlignDmarc
from millrace.filters.spf import Spf
from millrace.filters.upstream import BelieveUpstream, Upstream

RELAY = BelieveUpstream(("192.0.2.0/24", "2001:db8::/32"), ("mx.relay.example",))
FIELD = (
    b"Authentication-Results: mx.relay.example;\r\n\tspf=pass smtp.mailfrom=ann@A.example;\r\n"
    b"\tdkim=fail header.d=x.example; dkim=pass header.i=@mail.a.example header.b=12345678;\r\n"
    b"\tdmarc=pass header.from=a.example; arc=none\r\n"
)
TOLD = Upstream(
    "mx.relay.example", "pass", "a.example", "pass", ("mail.a.example",), "pass", "none"
)
RECEIVED = b"Received: from somewhere by mx.relay.example\r\n"


def believed(raw: bytes, ip: str = "192.0.2.7", relay: BelieveUpstream = RELAY) -> Upstream:
    return relay.run(Peer(ip), Message.parse(raw + b"\r\n").headers)


def test_results_of_a_listed_relay_are_facts() -> None:
    assert believed(FIELD + RECEIVED) == TOLD


@pytest.mark.parametrize(
    ("raw", "ip"),
    [
        (FIELD, "198.51.100.7"),
        (FIELD, ""),
        (RECEIVED + FIELD, "192.0.2.7"),
        (FIELD.replace(b"mx.relay", b"mx.other"), "192.0.2.7"),
        (FIELD.replace(b"example;", b"example 2;", 1), "192.0.2.7"),
        (b"Authentication-Results: mx.relay.example; spf=(((\r\n", "192.0.2.7"),
        (b"", "2001:db8::7"),
    ],
)
def test_what_anybody_could_have_written_is_not_believed(raw: bytes, ip: str) -> None:
    assert believed(raw, ip) == Upstream()


def test_relay_may_write_below_its_own_received_where_that_is_said() -> None:
    relay = BelieveUpstream(("192.0.2.0/24",), ("mx.relay.example",), hops=1)
    assert believed(RECEIVED + FIELD + RECEIVED, relay=relay) == TOLD
    assert believed(RECEIVED + RECEIVED + FIELD, relay=relay) == Upstream()


def test_words_that_no_standard_has_and_results_for_helo_alone_prove_nothing() -> None:
    field = b"Authentication-Results: mx.relay.example; dkim=great header.d=a.example; "
    found = believed(field + b"spf=pass smtp.helo=a.example\r\n")
    assert (found.dkim, found.dkim_domains, found.spf) == ("", (), "")


def test_networks_that_are_none_are_told_at_load() -> None:
    text = '[[filter]]\nuse = "upstream"\npeers = ["192.0.2.7/24"]'
    with pytest.raises(Misconfigured, match="host bits set"):
        spec.load(Document(text, "p.toml"), "p")


BEHIND = """
[[filter]]
use = "spf"
[[filter]]
use = "arc"
[[filter]]
use = "upstream"
peers = ["192.0.2.0/24"]
authserv_ids = ["mx.relay.example"]
[[filter]]
use = "stamp"
authserv_id = "us.example"
received_spf = true
[[filter]]
use = "seal"
domain = "lists.example"
authserv_id = "us.example"
"""


def written_for(field: bytes, keys: KeyRing) -> dict[str, str]:
    """The fields that stamp and seal write, by name, behind the relay."""
    plan = compile_plan(spec.load(Document(BEHIND, "p.toml"), "p"), Document("", "l.toml"), "l")
    walker = Walker(plan, dns=FakeDns({("b.example", "TXT"): [b"v=spf1 -all"]}), keys=keys)

    async def one_mail() -> None:
        await walker.greet()
        await walker.begin()
        await walker.to()
        await walker.content(field + b"From: a@b.example\r\n\r\nhello\r\n")

    asyncio.run(one_mail())
    edits = walker.records[0].edits
    return {e.name: e.value for e in edits if isinstance(e, InsertHeader)}


def test_spf_of_a_believed_relay_is_neither_stamped_nor_sealed(tmp_path: Path) -> None:
    keys = KeyRing(tmp_path)
    keys.make("lists.example", "r1", "rsa")
    direct, behind = written_for(b"", keys), written_for(FIELD, keys)
    for name in ("Authentication-Results", "ARC-Authentication-Results"):
        assert "spf=fail" in direct[name]
        assert "spf=" not in behind[name]
    assert "Received-SPF" in direct
    assert "Received-SPF" not in behind


@pytest.mark.parametrize(
    ("upstream", "result"),
    [
        (TOLD, "pass"),
        (Upstream("mx.relay.example", "fail", "a.example"), "fail"),
        (Upstream("mx.relay.example", "temperror", "a.example"), "temperror"),
        (Upstream("mx.relay.example"), "fail"),
        (None, "fail"),
    ],
)
def test_dmarc_takes_the_senders_spf_from_the_relay(upstream: Upstream | None, result: str) -> None:
    dns = FakeDns({("_dmarc.a.example", "TXT"): [b"v=DMARC1; p=reject"]})
    author = Author.of(Headers([(b"From", b"ann@a.example")]))
    of_relay = Spf("fail", "mfrom", "a.example")
    found = asyncio.run(AlignDmarc().run(author, of_relay, Dkim("none"), dns, upstream))
    assert found.result == result
