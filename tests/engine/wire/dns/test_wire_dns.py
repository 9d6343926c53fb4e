"""DNS messages: what is sent, what is believed, and what hostile octets do."""

import struct

import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.engine.ports import Answer
from millrace.engine.wire.dns import Malformed, Query, answer, read
from millrace.engine.wire.dns.answer import CHAIN_MAX, RECORDS_MAX
from millrace.engine.wire.dns.message import WALKED_MAX, truncated
from millrace.engine.wire.dns.names import encoded
from millrace.engine.wire.dns.records import NUMBERS

SOA = "example. {ttl} IN SOA ns.example. root.example. 1 3600 600 86400 {minimum}"


def reply_to(name, kind, *records, authority=(), code=0, flags=0, edns=True):
    """A reply as dnspython writes it, names compressed."""
    message = dns.message.make_response(dns.message.make_query(name, kind, use_edns=edns))
    message.set_rcode(code)
    message.flags |= dns.flags.RA | flags
    for section, texts in ((message.answer, records), (message.authority, authority)):
        for text in texts:
            owner, ttl, cls, rtype, data = text.split(" ", 4)
            section.append(dns.rrset.from_text(owner, int(ttl), cls, rtype, data))
    return message.to_wire(max_size=65535)


def told(data, kind, trusted=True) -> Answer:
    return answer(read(data, kind), kind, trusted=trusted)


def test_query_is_one_that_others_understand():
    query = Query.of(encoded("a.Example"), "TXT", 0x1234)
    message = dns.message.from_wire(query.octets)
    assert (message.id, message.edns, message.payload) == (0x1234, 0, 1232)
    assert message.flags == dns.flags.RD | dns.flags.AD
    assert not message.ednsflags
    assert str(message.question[0]) == "a.Example. IN TXT"
    assert dns.message.from_wire(Query.of(encoded(""), "NS", 1, edns=False).octets).edns == -1


@pytest.mark.parametrize(
    "name", ["a..b", ".a", "a.", "x" * 64, "a\\.b", "é", ".".join(["abcdefg"] * 32)]
)
def test_text_that_is_no_name_has_no_octets(name):
    assert encoded(name) is None


@pytest.mark.parametrize(
    ("kind", "records", "values"),
    [
        ("A", ["a.example. 300 IN A 192.0.2.1"], ("192.0.2.1",)),
        ("AAAA", ["a.example. 300 IN AAAA 2001:db8::1"], ("2001:db8::1",)),
        ("MX", ["a.example. 300 IN MX 10 Mail.A.example."], ((10, "mail.a.example"),)),
        ("MX", ["a.example. 300 IN MX 0 ."], ((0, ""),)),
        ("TXT", ['a.example. 300 IN TXT "one" "two" "\\255\\000"'], (b"onetwo\xff\0",)),
        ("NS", ["a.example. 300 IN NS NS.Example."], ("ns.example",)),
        ("PTR", ["a.example. 300 IN PTR x\\.y.example."], ("x\\.y.example",)),
        ("PTR", ["a.example. 300 IN PTR \\000\\200.example."], ("\\000\\200.example",)),
        ("CNAME", ["a.example. 300 IN CNAME b.example."], ("b.example",)),
        (
            "SOA",
            ["a.example. 300 IN SOA ns.example. root.a.example. 7 3600 600 86400 60"],
            (("ns.example", "root.a.example", 7, 3600, 600, 86400, 60),),
        ),
        ("TLSA", ["a.example. 300 IN TLSA 3 1 1 " + "0a" * 32], ((3, 1, 1, b"\x0a" * 32),)),
    ],
)
def test_each_type_is_read_as_the_port_names_it(kind, records, values):
    assert told(reply_to("a.Example.", kind, *records), kind) == Answer("found", values, 300)


@pytest.mark.parametrize(
    ("message", "status", "ttl"),
    [
        ({"code": 3}, "nxdomain", 0),
        ({}, "nodata", 0),
        ({"code": 3, "authority": [SOA.format(ttl=900, minimum=60)]}, "nxdomain", 60),
        ({"authority": [SOA.format(ttl=30, minimum=60)]}, "nodata", 30),
        ({"authority": [SOA.format(ttl=30, minimum=0)]}, "nodata", 1),
        ({"authority": ["example. 5 IN NS ns.example."]}, "nodata", 0),
        ({"code": 2}, "servfail", 0),
        ({"code": 5}, "servfail", 0),
        ({"code": 16}, "servfail", 0),
    ],
)
def test_absence_and_failure_are_different_answers(message, status, ttl):
    found = told(reply_to("a.example.", "A", **message), "A")
    assert (found.status, found.records, found.ttl) == (status, (), ttl)


def test_validated_bit_counts_only_from_whom_we_trust():
    data = reply_to("a.example.", "A", "a.example. 5 IN A 192.0.2.1", flags=dns.flags.AD)
    assert told(data, "A").secure
    assert not told(data, "A", trusted=False).secure
    assert not told(reply_to("a.example.", "A", "a.example. 5 IN A 192.0.2.1"), "A").secure
    assert told(reply_to("a.example.", "A", code=3, flags=dns.flags.AD), "A").secure


def chain(length, end="n{}.example. 300 IN A 192.0.2.1"):
    links = [f"n{n}.example. {300 - n} IN CNAME n{n + 1}.example." for n in range(length)]
    return reply_to("n0.example.", "A", *links, end.format(length))


def test_aliases_are_followed_and_the_shortest_life_counts():
    assert told(chain(CHAIN_MAX), "A") == Answer("found", ("192.0.2.1",), 300 - CHAIN_MAX + 1)


def test_chain_that_is_too_long_is_a_failure():
    assert told(chain(CHAIN_MAX + 1), "A") == Answer("servfail")
    loop = ["a.example. 5 IN CNAME b.example.", "b.example. 5 IN CNAME a.example."]
    assert told(reply_to("a.example.", "A", *loop), "A") == Answer("servfail")
    assert told(reply_to("a.example.", "A", loop[0]), "A") == Answer("nodata")


def test_records_of_other_names_are_not_believed():
    data = reply_to("a.example.", "A", "bank.example. 300 IN A 192.0.2.66")
    assert told(data, "A") == Answer("nodata")


def test_records_of_one_answer_are_bounded():
    many = [f"a.example. 300 IN A 192.0.{n // 250}.{n % 250}" for n in range(400)]
    reply = read(reply_to("a.example.", "A", *many), "A")
    assert len(reply.records) == WALKED_MAX
    assert len(answer(reply, "A", trusted=False).records) == RECORDS_MAX


def test_ttl_above_the_limit_counts_as_none():
    data = bytearray(reply_to("a.example.", "A", "a.example. 300 IN A 192.0.2.1"))
    at = data.index(struct.pack("!I", 300))
    data[at] = 0x80
    assert told(bytes(data), "A").ttl == 0


QUERY = Query.of(encoded("a.example"), "A", 7)


def header(number=7, flags=0x8180, questions=1):
    return struct.pack("!6H", number, flags, questions, 0, 0, 0)


@pytest.mark.parametrize(
    ("data", "believed"),
    [
        (header() + QUERY.asked, True),
        (header() + QUERY.asked.replace(b"example", b"eXaMpLe"), True),
        (header(number=8) + QUERY.asked, False),
        (header(flags=0x0180) + QUERY.asked, False),  # a question
        (header(flags=0xA180) + QUERY.asked, False),  # of another kind
        (header() + QUERY.asked.replace(b"example", b"exanple"), False),
        (header() + QUERY.asked[:-4] + b"\0\x1c\0\1", False),
        (header(questions=2) + QUERY.asked, False),
        (header(questions=0), False),
        (header(questions=0, flags=0x8181), True),  # could not read the question
        (header(questions=0, flags=0x8184), True),
        (header()[:11], False),
        (b"", False),
    ],
)
def test_only_a_reply_to_the_question_is_believed(data, believed):
    assert QUERY.is_answered_by(data) is believed


def test_cut_reply_says_so_in_its_header():
    assert truncated(header(flags=0x8380))
    assert not truncated(header())


def with_name(octets):
    """A reply whose answer's owner is these octets, at offset 27."""
    return (
        struct.pack("!6H", 7, 0x8180, 1, 1, 0, 0) + QUERY.asked + octets + b"\0\1\0\1" + bytes(10)
    )


@pytest.mark.parametrize(
    "octets",
    [
        b"\xc0\x1b",  # to itself
        b"\xc0\xff",  # forward
        b"\x01a\xc0\x1b",  # to its own beginning
        b"\x40",  # a label type that is none
        b"\x80",
        b"\x3f"
        + b"x" * 63
        + b"\x3f"
        + b"x" * 63
        + b"\x3f"
        + b"x" * 63
        + b"\x3f"
        + b"x" * 63
        + b"\0",
    ],
)
def test_name_that_does_not_end_is_malformed(octets):
    with pytest.raises(Malformed):
        read(with_name(octets), "A")


WIRE = [
    reply_to("a.example.", kind, *records, authority=[SOA.format(ttl=9, minimum=9)])
    for kind, records in [
        ("TXT", ['a.example. 300 IN TXT "v=spf1 -all" "x"', 'a.example. 300 IN TXT "y"']),
        ("MX", ["a.example. 300 IN MX 10 mx.a.example.", "mx.a.example. 9 IN A 192.0.2.1"]),
        ("SOA", ["a.example. 300 IN SOA ns.example. root.a.example. 7 3600 600 86400 60"]),
        ("A", ["a.example. 5 IN CNAME b.example.", "b.example. 5 IN A 192.0.2.9"]),
        ("TLSA", ["a.example. 300 IN TLSA 3 1 1 00ff" + "00" * 30]),
    ]
]
KINDS = st.sampled_from(list(NUMBERS))


def survives(data, kind):
    try:
        found = told(data, kind)
    except Malformed:
        return
    assert found.status in ("found", "nodata", "nxdomain", "servfail")
    assert len(found.records) <= RECORDS_MAX


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), KINDS)
def test_random_octets_give_a_value_or_one_error(data, kind):
    survives(data, kind)
    survives(header() + QUERY.asked + data, kind)
    survives(struct.pack("!6H", 7, 0x8180, 1, 9, 9, 9) + QUERY.asked + data, kind)
    QUERY.is_answered_by(data)


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(WIRE),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    st.integers(0, 400),
    KINDS,
)
def test_mutated_replies_give_a_value_or_one_error(data, changes, cut, kind):
    mutated = bytearray(data)
    for at, octet in changes:
        mutated[at % len(mutated)] = octet
    survives(bytes(mutated), kind)
    survives(bytes(mutated[: cut % len(mutated)]), kind)
