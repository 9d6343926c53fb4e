"""c-ares against a small DNS server of the test's own."""

import asyncio

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from millrace.engine.net.ares import RECORDS_MAX, AresResolver

RECORDS = {
    ("a.example.", "A"): ["a.example. 300 IN A 192.0.2.1", "a.example. 300 IN A 192.0.2.2"],
    ("a.example.", "AAAA"): ["a.example. 60 IN AAAA 2001:db8::1"],
    ("a.example.", "MX"): ["a.example. 300 IN MX 10 Mail.A.example."],
    ("a.example.", "TXT"): ['a.example. 300 IN TXT "one" "two"', 'a.example. 300 IN TXT "x"'],
    ("bytes.example.", "TXT"): ['bytes.example. 300 IN TXT "\\255\\000"'],
    ("a.example.", "NS"): ["a.example. 300 IN NS NS.example."],
    ("1.2.0.192.in-addr.arpa.", "PTR"): ["1.2.0.192.in-addr.arpa. 300 IN PTR A.example."],
    ("alias.example.", "A"): [
        "alias.example. 20 IN CNAME a.example.",
        "a.example. 300 IN A 192.0.2.1",
    ],
    ("hang.example.", "A"): ["hang.example. 20 IN CNAME a.example."],
    ("many.example.", "A"): [f"many.example. 300 IN A 192.0.2.{n}" for n in range(150)],
}
CODES = {
    "gone.example.": dns.rcode.NXDOMAIN,
    "lame.example.": dns.rcode.SERVFAIL,
    "no.example.": dns.rcode.REFUSED,
}


class Server(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        question = dns.message.from_wire(data)
        ((name, kind),) = [
            (q.name.to_text().lower(), dns.rdatatype.to_text(q.rdtype)) for q in question.question
        ]
        if name == "slow.example.":
            return
        reply = dns.message.make_response(question)
        reply.flags |= dns.flags.RA
        reply.set_rcode(CODES.get(name, dns.rcode.NOERROR))
        for text in RECORDS.get((name, kind), []):
            owner, ttl, cls, rtype, rdata = text.split(" ", 4)
            rrset = reply.find_rrset(
                reply.answer, dns.name.from_text(owner), cls, rtype, create=True
            )
            rrset.add(dns.rdata.from_text(cls, rtype, rdata), int(ttl))
        self.transport.sendto(reply.to_wire(max_size=65535), addr)


async def _looked_up(name: str, kind: str):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    resolver = AresResolver([f"127.0.0.1:{port}"], timeout=0.05 if "slow" in name else 5, tries=1)
    try:
        return await resolver.lookup(name, kind)
    finally:
        await resolver.close()
        transport.close()


@pytest.mark.parametrize(
    ("name", "kind", "status", "records"),
    [
        ("a.example", "A", "found", ("192.0.2.1", "192.0.2.2")),
        ("a.example", "AAAA", "found", ("2001:db8::1",)),
        ("a.example", "MX", "found", ((10, "mail.a.example"),)),
        ("a.example", "TXT", "found", (b"onetwo", b"x")),
        ("bytes.example", "TXT", "found", (b"\xff\0",)),
        ("a.example", "NS", "found", ("ns.example",)),
        ("1.2.0.192.in-addr.arpa", "PTR", "found", ("a.example",)),
        ("alias.example", "A", "found", ("192.0.2.1",)),
        ("hang.example", "A", "nodata", ()),
        ("a.example", "CNAME", "nodata", ()),
        ("gone.example", "A", "nxdomain", ()),
        ("lame.example", "A", "servfail", ()),
        ("no.example", "A", "servfail", ()),
        ("slow.example", "A", "timeout", ()),
        ("x" * 64 + ".example", "A", "badname", ()),
    ],
)
def test_answer_of_a_server_has_its_status_and_records(name, kind, status, records):
    found = asyncio.run(_looked_up(name, kind))
    assert found.status == status
    assert sorted(map(repr, found.records)) == sorted(map(repr, records))


def test_shortest_life_of_a_chain_is_that_of_the_answer():
    assert asyncio.run(_looked_up("alias.example", "A")).ttl == 20
    assert asyncio.run(_looked_up("a.example", "AAAA")).ttl == 60


def test_records_of_one_answer_are_bounded():
    assert len(asyncio.run(_looked_up("many.example", "A")).records) == RECORDS_MAX
