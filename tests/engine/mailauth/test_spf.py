"""SPF against the published suite of RFC 7208, through our own DNS port."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes import FakeDns
from suites import Suites, departures

from millrace.engine.mailauth.spf import Outcome, check
from millrace.engine.mailauth.spfrecord import expanded, shortened
from millrace.engine.ports import Answer

DEPARTURES = Path(__file__).with_name("departures.toml")


def zone(data: dict[str, list[Any]]) -> FakeDns:
    table: dict[Any, Any] = {}
    for name, records in data.items():
        _add(table, name.lower().rstrip("."), records)
    return FakeDns(_Following(table))


def _add(table: dict[Any, Any], name: str, records: list[Any]) -> None:
    texts = any(isinstance(r, dict) and "TXT" in r for r in records)
    for record in records:
        if record == "TIMEOUT":
            for kind in ("A", "AAAA", "MX", "TXT", "PTR"):
                table.setdefault((name, kind), Answer("timeout"))
            continue
        ((kind, value),) = record.items()
        if kind == "SPF" and not texts:
            kind = "TXT"
        if kind == "SPF" or value == "NONE":
            continue
        if isinstance(table.get((name, kind)), Answer):
            continue
        table.setdefault((name, kind), []).append(_value(kind, value))


def _value(kind: str, value: Any) -> Any:
    if kind == "TXT":
        pieces = value if isinstance(value, list) else [value]
        return "".join(pieces).encode("utf-8")
    if kind == "MX":
        return (value[0], value[1])
    return value


class _Following(dict[Any, Any]):
    """A table that follows CNAMEs, as a resolver does."""

    def get(self, key: Any, default: Any = None) -> Any:
        name, kind = key
        for _ in range(10):
            if (name, kind) in self:
                return self[name, kind]
            if (name, "CNAME") not in self:
                return default
            name = self[name, "CNAME"][0].lower().rstrip(".")
        return default


def spf(case: dict[str, Any], dns: FakeDns) -> Outcome:
    sender = case["mailfrom"] or ""
    domain = sender.rpartition("@")[2]
    if sender and "@" not in sender:
        sender = f"postmaster@{sender}"
    return asyncio.run(check(str(case["host"]), sender, domain, case["helo"] or "", dns))


def _explained(case: dict[str, Any], outcome: Outcome) -> bool:
    if "explanation" not in case or outcome.result != "fail":
        return True
    wanted = "" if case["explanation"] == "DEFAULT" else case["explanation"]
    return bool(outcome.explanation == wanted)


@pytest.mark.data
@pytest.mark.parametrize(("number", "count"), [("7208", 203), ("4408", 191)])
def test_the_published_suite_passes_explanations_included(
    shared_data: Path, suites: Suites, number: str, count: int
) -> None:
    wrong, total = {}, 0
    text = (shared_data / "spf" / f"rfc{number}-tests.yml").read_text("utf-8")
    for scenario in filter(None, yaml.safe_load_all(text)):
        for name, case in scenario["tests"].items():
            total += 1
            outcome = spf(case, zone(scenario["zonedata"]))
            wanted = case["result"] if isinstance(case["result"], list) else [case["result"]]
            if outcome.result not in wanted or not _explained(case, outcome):
                wrong[name] = f"wants {wanted} {case.get('explanation', '')}, got {outcome}"
    assert total == count
    suite = f"SPF, RFC {number}"
    suites.hold(suite, total, wrong, departures(DEPARTURES, suite))


PEER4, PEER6 = "192.0.2.7", "2001:db8::7"
TEN = " ".join(f"a:h{n}.x.example" for n in range(10))


def said(
    record: str | bytes,
    more: dict[Any, Any] | None = None,
    *,
    ip: str = PEER4,
    sender: str = "ann@d.example",
    helo: str = "mx.d.example",
) -> Outcome:
    """What is said of a sender at d.example whose domain has this record."""
    text = record.encode() if isinstance(record, str) else record
    table = {("d.example", "TXT"): [b"v=spf1 " + text], **(more or {})}
    table |= {(f"h{n}.x.example", "A"): ["192.0.2.99"] for n in range(12)}
    domain = sender.rpartition("@")[2]
    made = check(ip, sender, domain, helo, FakeDns(table), "us.example", 1_800_000_000.0)
    return asyncio.run(made)


def reverse(*names: str, **hosts: Any) -> dict[Any, Any]:
    return {("7.2.0.192.in-addr.arpa", "PTR"): list(names)}


@pytest.mark.parametrize(
    "term",
    [
        "all:x",
        "all/8",
        "include",
        "include:",
        "include:d.example/24",
        "exists",
        "exists:",
        "exists:x.example/24",
        "ip4",
        "ip4:",
        "ip4:1.2.3",
        "ip4:1.2.3.04",
        "ip4:1.2.3.4/33",
        "ip4:1.2.3.4/032",
        "ip4:1.2.3.4//32",
        "ip6:fe80::1%25eth0",
        "ip6:::1/129",
        "ip6:1:2",
        "a:",
        "a:localhost",
        "a:x.123",
        "a:x.example/",
        "a:x.example/33",
        "a//129",
        "a/24//",
        "a:x.example/24/64",
        "a:x.-example",
        "a:x.example-",
        "a:x..",
        "mx:%{d}bar",
        "mx:%{d",
        "a:%d",
        "a:%{d0}.example",
        "a:%{d1x}.example",
        "a:%{rd}.example",
        "a:%{d!}.example",
        "a:%{z}.example",
        "a:%{c}.example",
        "redirect=%{r}.example",
        "exp=%{t}.example",
        "redirect=",
        "exp=",
        "redirect=a.example redirect=a.example",
        "exp=a.example EXP=a.example",
        "moo=%{x",
        "op=%{q}",
        "default=%",
        "=x",
        "a:%{D}.",
        "-",
        "+",
        "?all~",
        "a:x\x7f.example",
        "a:x\x01.example",
        "moo=\x07",
        "ptr/24",
        "ptr:",
        "nonsense",
        "spf2.0/pra",
        "a.b.example",
        "all,",
        "ip4:1.2.3.4,",
        "\tall",
    ],
)
@pytest.mark.parametrize("place", ["ip4:192.0.2.7 {}", "{} ip4:192.0.2.7"])
def test_a_syntax_error_anywhere_spoils_the_record(term: str, place: str) -> None:
    assert said(place.format(term)).result == "permerror"


@pytest.mark.parametrize(
    "record",
    [
        "IP4:192.0.2.7",
        "+ip4:192.0.2.0/24",
        "ip4:0.0.0.0/0",
        "  ip4:192.0.2.7  ",
        "A:h.d.example",
        "a:h.d.example.",
        "A:H.D.EXAMPLE/24//64",
        "moo=1 moo=2 op=x default=y a:%{d}",
        "a:%{o}",
        "a:%{H2}",
        "redirect=e.example",
        "REDIRECT=e.example",
        "unknown_x.y-z=%{l} a:%{d}",
        "include:e.example",
        "-include:bad.example a:%{d}",
        "mx",
        "MX:d.example",
        "moo=%{c} a",
        "exists:%{i}.x.example",
        "exists:%{ir}.%{v}.x.example",
        "a:%{d3}",
        "a:%{d999999999}",
        "exists:%{l1r-}.y.example",
        "exists:%{lr+-}.y.example",
        "exists:%{d1R}.z.example",
        "a:%{o1r}.%{d1}",
    ],
)
def test_what_the_grammar_allows_is_followed(record: str) -> None:
    hosts = (
        "d.example",
        "h.d.example",
        "192.0.2.7.x.example",
        "7.2.0.192.in-addr.x.example",
        "ann.y.example",
        "tag.ann.y.example",
        "d.z.example",
        "example.example",
    )
    more: dict[Any, Any] = {(host, "A"): [PEER4] for host in hosts}
    more |= {("e.example", "TXT"): [b"v=spf1 ip4:192.0.2.7 -all"]}
    more |= {("bad.example", "TXT"): [b"v=spf1 -all"], ("d.example", "MX"): [(10, "h.d.example")]}
    assert (
        said(
            record,
            more,
            sender="ann+tag@d.example" if "+-" in record else "ann@d.example",
            helo="d.example",
        ).result
        == "pass"
    )


@pytest.mark.parametrize(
    ("spec", "sender", "asked"),
    [  # RFC 7208 §7.4, the examples
        ("%{s}", "strong-bad@email.example.com", "strong-bad@email.example.com"),
        ("%{o4}.", "strong-bad@email.example.com", "email.example.com"),
        ("%{d2}.", "strong-bad@email.example.com", "example.com"),
        ("%{dr}.", "strong-bad@email.example.com", "com.example.email"),
        ("%{d2r}.", "strong-bad@email.example.com", "example.email"),
        ("%{l-}.", "strong-bad@email.example.com", "strong.bad"),
        ("%{lr-}.", "strong-bad@email.example.com", "bad.strong"),
        ("%{l1r-}.", "strong-bad@email.example.com", "strong"),
        (
            "%{ir}.%{v}._spf.%{d2}",
            "strong-bad@email.example.com",
            "3.2.0.192.in-addr._spf.example.com",
        ),
        ("%{lr-}.lp._spf.%{d2}", "strong-bad@email.example.com", "bad.strong.lp._spf.example.com"),
        (
            "%{d2}.trusted-domains.example.net",
            "strong-bad@email.example.com",
            "example.com.trusted-domains.example.net",
        ),
        # delimiters are replaced for every letter, and quoting escapes what it must
        ("%{o-}", "x@strong-bad.example.com", "strong.bad.example.com"),
        ("%{o1-}", "x@strong-bad.example.com", "bad.example.com"),
        ("%{L}%%%_%-%{v}", "a/b~c@email.example.com", "a%2Fb~c% %20in-addr"),
        ("%{h}.%{h1}", "x@e.example.com", "mx.d.example.example"),
    ],
)
def test_macros_expand_as_in_the_examples_of_the_standard(
    spec: str, sender: str, asked: str
) -> None:
    local, _, domain = sender.rpartition("@")
    values = {
        "s": sender,
        "l": local,
        "o": domain,
        "d": domain,
        "i": "192.0.2.3",
        "v": "in-addr",
        "h": "mx.d.example",
    }
    assert shortened(expanded(spec, values.__getitem__)) == asked


def test_ipv6_peers_are_macros_of_nibbles() -> None:
    nibbles = ".".join("20010DB8000000000000000000000007")
    table: dict[Any, Any] = {(f"{nibbles}.ip6.x.example".lower(), "A"): ["127.0.0.2"]}
    assert said("exists:%{i}.%{v}.x.example -all", table, ip=PEER6).result == "pass"


def test_names_that_are_too_long_lose_labels_from_the_left() -> None:
    long = ".".join(["x" * 60] * 6)
    assert shortened(long + ".example") == ".".join(["x" * 60] * 4) + ".example"


@pytest.mark.parametrize(
    ("record", "result"),
    [
        (f"{TEN} -all", "fail"),
        (f"{TEN} a:h10.x.example -all", "permerror"),
        (f"{TEN} ip4:192.0.2.7 a:h10.x.example", "pass"),
        (f"{TEN} redirect=e.example", "permerror"),
        (f"{TEN} ip4:192.0.2.7 redirect=e.example", "pass"),
        (f"{TEN} -all redirect=e.example exp=e.example", "fail"),
        ("include:d.example -all", "permerror"),
        ("ip4:192.0.2.7 include:d.example", "pass"),
        ("a:n1.y.example a:n2.y.example ip4:192.0.2.7", "pass"),
        ("a:n1.y.example a:n2.y.example exists:n3.y.example ip4:192.0.2.7", "permerror"),
        ("a:n1.y.example include:v.example ip4:192.0.2.7", "permerror"),
        ("mx:many.example ip4:192.0.2.7", "permerror"),
        ("mx:ten.example -all", "fail"),
        ("include:slow.example ip4:192.0.2.7", "temperror"),
        ("ip4:192.0.2.7 include:slow.example", "pass"),
        ("include:none.example ?all", "permerror"),
        ("include:two.example ?all", "permerror"),
        ("redirect=none.example", "permerror"),
        ("include:wrong.example ?all", "permerror"),
        ("a:slow.example -all", "temperror"),
        ("include:soft.example -all", "fail"),
        ("", "neutral"),
        ("exp=e.example", "neutral"),
    ],
)
def test_limits_and_inner_results_are_those_of_the_standard(record: str, result: str) -> None:
    more: dict[Any, Any] = {
        ("e.example", "TXT"): [b"v=spf1 ip4:192.0.2.7 -all"],
        ("v.example", "TXT"): [b"v=spf1 a:n2.y.example a:n3.y.example -all"],
        ("soft.example", "TXT"): [b"v=spf1 ~all"],
        ("two.example", "TXT"): [b"v=spf1 -all", b"V=SPF1"],
        ("none.example", "TXT"): [b"v=spf10 -all"],
        ("wrong.example", "TXT"): [b"v=spf1 wrong"],
        ("slow.example", "TXT"): Answer("timeout"),
        ("slow.example", "A"): Answer("servfail"),
        ("many.example", "MX"): [(n, f"h{n}.x.example") for n in range(11)],
        ("ten.example", "MX"): [(n, f"h{n}.x.example") for n in range(10)],
    }
    assert said(record, more).result == result


def test_names_of_the_peer_count_when_they_lead_back() -> None:
    table: dict[Any, Any] = reverse("liar.d.example", "slow.d.example", "Good.Sub.D.example.")
    table |= {("liar.d.example", "A"): ["192.0.2.8"], ("slow.d.example", "A"): Answer("timeout")}
    assert said("ptr -all", table).result == "fail"
    table["good.sub.d.example", "A"] = [PEER4]
    assert said("ptr -all", table).result == "pass"
    assert said("ptr:sub.d.example -all", table).result == "pass"
    assert said("ptr:ub.d.example -all", table).result == "fail"


def test_dns_that_does_not_name_the_peer_is_no_error() -> None:
    table: dict[Any, Any] = {("7.2.0.192.in-addr.arpa", "PTR"): Answer("servfail")}
    table["unknown.x.example", "A"] = ["127.0.0.2"]
    assert said("ptr -all", table).result == "fail"
    assert said("exists:%{p}.x.example -all", table).result == "pass"


def test_only_ten_names_of_the_peer_are_looked_at() -> None:
    table: dict[Any, Any] = reverse(*(f"n{n}.d.example" for n in range(11)))
    table |= {(f"n{n}.d.example", "A"): ["192.0.2.8"] for n in range(10)}
    table["n10.d.example", "A"] = [PEER4]
    assert said("ptr -all", table).result == "fail"


def test_the_peers_name_is_the_domain_itself_where_it_can_be() -> None:
    table: dict[Any, Any] = reverse("other.example", "sub.d.example", "d.example")
    table |= {(name, "A"): [PEER4] for name in ("other.example", "sub.d.example", "d.example")}
    table |= {("other.example.x.example", "A"): [PEER4], ("d.example.x.example", "A"): [PEER4]}
    table["i.example", "TXT"] = [b"v=spf1 exists:%{p}.x.example -all"]
    assert said("exists:%{p}.x.example -all", table).result == "pass"
    assert said("include:i.example -all", table).result == "pass"


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (
            [b"See http://%{d}/why?ip=%{C}&s=%{S}&t=%{t} at %{r}"],
            "See http://d.example/why?ip=192.0.2.7&s=ann%40d.example&t=1800000000 at us.example",
        ),
        ([b"a long one. " * 30], "a long one. " * 30),
        ([b"x" * 3000], "x" * 512),
        ([b"one", b"two"], ""),
        ([], ""),
        (Answer("timeout"), ""),
        ([b"caf\xc3\xa9"], ""),
        ([b"line\r\n250 injected"], ""),
        ([b"bad %{x}"], ""),
        ([b"bad %"], ""),
        ([b"%{p}"], "unknown"),
    ],
)
def test_explanation_of_a_fail_is_shown_when_it_can_be(texts: Any, shown: str) -> None:
    assert said("exp=why.%{d} -all", {("why.d.example", "TXT"): texts}).explanation == shown


def test_explanation_is_asked_for_after_a_fail_alone() -> None:
    dns = FakeDns({("d.example", "TXT"): [b"v=spf1 exp=why.d.example ip4:192.0.2.7 -all"]})
    asyncio.run(check(PEER4, "a@d.example", "d.example", "h.example", dns))
    assert ("why.d.example", "TXT") not in dns.asked


def test_explanation_of_a_redirection_is_the_targets() -> None:
    table: dict[Any, Any] = {
        ("e.example", "TXT"): [b"v=spf1 exp=w.%{d} -all"],
        ("i.example", "TXT"): [b"v=spf1 exp=w2.example -all"],
        ("w.e.example", "TXT"): [b"by %{d} of %{o}"],
        ("w2.example", "TXT"): [b"inner"],
    }
    assert (
        said("redirect=e.example exp=w2.example", table).explanation == "by e.example of d.example"
    )
    assert said("include:i.example redirect=e.example", table).explanation.startswith("by e")


@pytest.mark.parametrize(
    ("ip", "record", "result"),
    [
        ("::ffff:192.0.2.7", "ip4:192.0.2.7 -all", "pass"),
        ("::ffff:192.0.2.7", "ip6:::ffff:192.0.2.7 -all", "fail"),
        ("192.0.2.7", "ip6:::ffff:192.0.2.7 -all", "fail"),
        ("2001:db8::7", "ip6:2001:DB8::/32 -all", "pass"),
        ("2001:db8::7", "ip6:2001:db8:0:0:0:0:0.0.0.7 -all", "pass"),
        ("2001:db8::7", "ip4:0.0.0.0/0 a:h.d.example/0//64 -all", "pass"),
        ("fe80::7%eth0", "ip6:fe80::/10 -all", "pass"),
        ("not an address", "+all", "none"),
    ],
)
def test_peers_of_both_families_are_compared_with_their_own(
    ip: str, record: str, result: str
) -> None:
    table: dict[Any, Any] = {
        ("h.d.example", "AAAA"): ["2001:db8::1"],
        ("h.d.example", "A"): ["1.1.1.1"],
    }
    assert said(record, table, ip=ip).result == result


@pytest.mark.parametrize(
    ("sender", "helo", "result", "scope"),
    [
        ("", "d.example", "pass", "helo"),
        ("", "[192.0.2.7]", "none", "helo"),
        ("", "localhost", "none", "helo"),
        ("", "", "none", "helo"),
        ("ann@[192.0.2.7]", "d.example", "none", "mfrom"),
        ("ann@d..example", "d.example", "none", "mfrom"),
        ('"odd@else.example"@d.example', "h.example", "pass", "mfrom"),
        ("@d.example", "h.example", "pass", "mfrom"),
        ("ann@D.Example.", "h.example", "pass", "mfrom"),
    ],
)
def test_identity_is_what_the_envelope_gives(
    sender: str, helo: str, result: str, scope: str
) -> None:
    found = said("ip4:192.0.2.7 -all", sender=sender, helo=helo)
    assert (found.result, found.scope) == (result, scope)


def test_letters_beyond_ascii_are_asked_as_the_dns_knows_them() -> None:
    table: dict[Any, Any] = {
        ("xn--bcher-kva.example", "TXT"): [b"v=spf1 exists:%{o}.x.example -all"],
        ("xn--bcher-kva.example.x.example", "A"): ["127.0.0.2"],
    }
    assert said("", table, sender="ann@bücher.example").result == "pass"


@pytest.mark.parametrize("record", ["exists:%{l}.x.example ?all", "redirect=%{s}.x.example"])
def test_a_local_part_beyond_ascii_matches_no_macro(record: str) -> None:
    found = said(record, sender="änn@d.example")
    assert found.result == "neutral"
    assert said("-all exp=%{l}.x.example", sender="änn@d.example").explanation == ""


def test_long_records_of_many_strings_are_read_whole() -> None:
    record = " ".join(f"ip4:198.51.100.{n}" for n in range(100)) + " ip4:192.0.2.7 -all"
    assert said(record).result == "pass"


def test_a_record_that_is_too_long_to_be_honest_counts_as_none() -> None:
    assert said("x=" + "y" * 5000).result == "none"
