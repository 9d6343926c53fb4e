"""Answers from a file, JSON or master format."""

import asyncio
import json

import pytest

from millrace.engine.errors import Misconfigured
from millrace.engine.net.zone import ZoneDns
from millrace.engine.ports import Answer

WORLD = {
    "example.org": {"TXT": ["v=spf1 mx -all"], "MX": ["10 mail.example.org"]},
    "Mail.Example.org.": {"A": ["192.0.2.7"], "AAAA": ["2001:db8::7"]},
    "7.2.0.192.in-addr.arpa": {"PTR": ["mail.example.org"]},
    "slow.example.org": {"error": "timeout"},
    "lame.example.org": {"error": "SERVFAIL"},
    "half.example.org": {"A": ["192.0.2.8"], "TXT": {"error": "timeout"}},
    "pieces.example.org": {"TXT": [["one", "two"], "three"]},
    "single.example.org": {"TXT": "alone", "A": "192.0.2.9"},
    "alias.example.org": {"CNAME": "Mail.example.org."},
    "chain.example.org": {"CNAME": ["alias.example.org"]},
    "loop.example.org": {"CNAME": ["loop.example.org"]},
    "gone.example.org": {"CNAME": ["nowhere.example.org"]},
    "empty.example.org": {"A": []},
    "odd.example.org": {"SRV": ["1 2 3 x"]},
    "bücher.example": {"A": ["192.0.2.10"]},
    "_25._tcp.mx.example.org": {"TLSA": ["3 1 1 00FF"], "secure": True},
    "zone.example.org": {"SOA": "NS.example.org. root.example.org 7 3600 600 86400 60"},
}
MASTER = """
$ORIGIN example.org.
@      IN TXT "v=spf1 mx -all"
@      IN MX 10 mail
Mail   IN A 192.0.2.7
       IN AAAA 2001:db8::7
pieces IN TXT "one" "two"
alias  IN CNAME mail
7.2.0.192.in-addr.arpa. IN PTR mail
"""


def asked(zone: ZoneDns, name: str, kind: str) -> Answer:
    return asyncio.run(zone.lookup(name, kind))


@pytest.mark.parametrize(
    ("name", "kind", "status", "records"),
    [
        ("example.org", "TXT", "found", (b"v=spf1 mx -all",)),
        ("example.org", "MX", "found", ((10, "mail.example.org"),)),
        ("example.org", "A", "nodata", ()),
        ("mail.example.org", "A", "found", ("192.0.2.7",)),
        ("mail.example.org", "AAAA", "found", ("2001:db8::7",)),
        ("7.2.0.192.in-addr.arpa", "PTR", "found", ("mail.example.org",)),
        ("slow.example.org", "A", "timeout", ()),
        ("slow.example.org", "TXT", "timeout", ()),
        ("lame.example.org", "MX", "servfail", ()),
        ("half.example.org", "A", "found", ("192.0.2.8",)),
        ("half.example.org", "TXT", "timeout", ()),
        ("half.example.org", "MX", "nodata", ()),
        ("pieces.example.org", "TXT", "found", (b"onetwo", b"three")),
        ("single.example.org", "TXT", "found", (b"alone",)),
        ("single.example.org", "A", "found", ("192.0.2.9",)),
        ("alias.example.org", "A", "found", ("192.0.2.7",)),
        ("alias.example.org", "CNAME", "found", ("mail.example.org",)),
        ("chain.example.org", "AAAA", "found", ("2001:db8::7",)),
        ("chain.example.org", "TXT", "nodata", ()),
        ("loop.example.org", "A", "servfail", ()),
        ("gone.example.org", "A", "nxdomain", ()),
        ("empty.example.org", "A", "nodata", ()),
        ("odd.example.org", "A", "nodata", ()),
        ("nowhere.example.org", "A", "nxdomain", ()),
        ("xn--bcher-kva.example", "A", "found", ("192.0.2.10",)),
        ("_25._tcp.mx.example.org", "TLSA", "found", ((3, 1, 1, b"\0\xff"),)),
        ("_tcp.mx.example.org", "A", "nodata", ()),
        ("mx.example.org", "A", "nodata", ()),
        ("_25._tcp.nowhere.example.org", "TLSA", "nxdomain", ()),
        ("addr.arpa", "PTR", "nxdomain", ()),
        (
            "zone.example.org",
            "SOA",
            "found",
            (("ns.example.org", "root.example.org", 7, 3600, 600, 86400, 60),),
        ),
    ],
)
def test_world_of_a_table_answers_like_the_dns(name, kind, status, records):
    found = asked(ZoneDns.of(WORLD), name, kind)
    assert (found.status, found.records) == (status, records)


@pytest.mark.parametrize(
    ("name", "kind", "status", "records"),
    [
        ("example.org", "TXT", "found", (b"v=spf1 mx -all",)),
        ("example.org", "MX", "found", ((10, "mail.example.org"),)),
        ("mail.example.org", "AAAA", "found", ("2001:db8::7",)),
        ("pieces.example.org", "TXT", "found", (b"onetwo",)),
        ("alias.example.org", "A", "found", ("192.0.2.7",)),
        ("7.2.0.192.in-addr.arpa", "PTR", "found", ("mail.example.org",)),
        ("nowhere.example.org", "A", "nxdomain", ()),
    ],
)
def test_master_file_answers_like_the_table(tmp_path, name, kind, status, records):
    path = tmp_path / "zone"
    path.write_text(MASTER)
    found = asked(ZoneDns.load(path), name, kind)
    assert (found.status, found.records) == (status, records)


def test_json_file_is_known_by_its_first_character(tmp_path):
    path = tmp_path / "zone"
    path.write_text("\n  " + json.dumps(WORLD))
    assert asked(ZoneDns.load(path), "mail.example.org", "A").status == "found"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([1], "wants an object of names"),
        ({"a": 5}, "a: wants an object of record types"),
        (
            {"a": {"error": "nope"}},
            "a: error is one of timeout servfail nxdomain nodata, not 'nope'",
        ),
        ({"a": {"A": {"error": 5}}}, "a: error is one of timeout servfail nxdomain nodata, not 5"),
        ({"a": {"MX": ["mail"]}}, "a MX: cannot be read: ['mail']"),
        ({"a": {"MX": ["x mail"]}}, "a MX: cannot be read: ['x mail']"),
        ({"a": {"MX": ["70000 mail"]}}, "a MX: cannot be read: ['70000 mail']"),
        ({"a": {"A": ["192.0.2.256"]}}, "a A: cannot be read: ['192.0.2.256']"),
        ({"a": {"AAAA": ["fe80::1%eth0"]}}, "a AAAA: cannot be read: ['fe80::1%eth0']"),
        ({"a": {"TLSA": ["3 1"]}}, "a TLSA: cannot be read: ['3 1']"),
        ({"a": {"TLSA": ["3 1 1 xy"]}}, "a TLSA: cannot be read: ['3 1 1 xy']"),
        ({"a": {"SOA": ["ns root 1 2"]}}, "a SOA: cannot be read: ['ns root 1 2']"),
        ({"a": {"PTR": [""]}}, "a PTR: cannot be read: ['']"),
        ({"a": {"secure": "yes"}}, "a: secure is true or false, not 'yes'"),
    ],
)
def test_table_that_is_none_is_told_with_its_name(data, sentence):
    with pytest.raises(Misconfigured) as caught:
        ZoneDns.of(data, "z.json")
    assert str(caught.value) == f"z.json  {sentence}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "z:1:2  is not JSON: "),
        ("a b c d", "z:1  is no master file: "),
        ("\0", "z:1  is no master"),
    ],
)
def test_file_that_is_neither_is_told(tmp_path, text, words, monkeypatch):
    (tmp_path / "z").write_text(text)
    monkeypatch.chdir(tmp_path)
    from pathlib import Path

    with pytest.raises(Misconfigured) as caught:
        ZoneDns.load(Path("z"))
    assert str(caught.value).startswith(words)


def test_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(Misconfigured, match="cannot be read"):
        ZoneDns.load(tmp_path / "none")


def test_fault_in_a_table_is_told_with_its_line(tmp_path):
    (tmp_path / "z.json").write_text('{"a": {"A": "192.0.2.1"},\n"b": {"A": "x"}}')
    with pytest.raises(Misconfigured) as caught:
        ZoneDns.load(tmp_path / "z.json")
    assert "z.json:2  b A: cannot be read: 'x'" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a IN A 192.0.2.1\nb IN A x\n", ":2  is no master file"),
        ("a IN A 192.0.2.1\n\nb IN NONSENSE x\n", ":3  is no master file"),
        ("$INCLUDE /etc/passwd\n", ":1  is no master file"),
        ("$GENERATE 1-10000000 a$ A 192.0.2.1\n", ":1  is no master file"),
        ('{"a": ' + "[" * 100_000, "  is not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "  is not JSON"),
    ],
)
def test_hostile_file_is_told_and_not_obeyed(tmp_path, text, words):
    (tmp_path / "z").write_text(text)
    with pytest.raises(Misconfigured) as caught:
        ZoneDns.load(tmp_path / "z")
    assert f"{tmp_path}/z{words}" in str(caught.value)


def test_several_zones_stand_in_one_master_file(tmp_path):
    soa = "IN SOA ns root 1 3600 600 86400 60"
    (tmp_path / "z").write_text(f"a.example. {soa}\nb.example. {soa}\n")
    zone = ZoneDns.load(tmp_path / "z")
    assert asked(zone, "a.example", "SOA").status == "found"
    assert asked(zone, "b.example", "SOA").records[0][6] == 60
    assert asked(zone, "example", "A").status == "nodata"


def test_signed_names_are_told_and_an_unsigned_alias_breaks_the_chain():
    zone = ZoneDns.of(
        {
            "signed.example": {"A": "192.0.2.1", "secure": True},
            "alias.example": {"CNAME": "signed.example"},
            "good.example": {"CNAME": "signed.example", "secure": True},
        }
    )
    secure = {n: asked(zone, f"{n}.example", "A").secure for n in ("signed", "alias", "good")}
    assert secure == {"signed": True, "alias": False, "good": True}
    assert asked(zone, "signed.example", "MX").secure
