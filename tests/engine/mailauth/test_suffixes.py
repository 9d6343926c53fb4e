"""The public suffix list against its own published tests, and DMARC by it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from fakes import FakeDns
from suites import Suites, departures

from millrace.engine.mailauth.dmarc import Evaluation, Proofs, Walker, evaluate
from millrace.engine.mailauth.domains import ascii_domain
from millrace.engine.mailauth.suffixes import OCTETS_MAX, Suffixes, read

DEPARTURES = Path(__file__).with_name("departures.toml")
LIST = read(
    b"// a list\ncom\n\nco.uk\nuk\n*.ck\n!www.ck\nfoo.COM and more\n\xe5\x85\xac\xe5\x8f\xb8.cn"
)


def registered(suffixes: Suffixes, name: str) -> str:
    domain = ascii_domain(name)
    if not domain or suffixes.suffix(domain) == domain:
        return "null"
    return suffixes.organization(domain)


def cases(form: str, text: str) -> list[tuple[str, str]]:
    text = re.sub(r"^//.*$", "", text, flags=re.M)
    if form == "tests.txt":
        rows = [line.split() for line in text.splitlines() if line.strip()]
        return [(name, wanted) for name, wanted in rows]
    found = re.findall(r"checkPublicSuffix\(([^,]+), ([^)]+)\);", text)
    return [(name.strip("'"), wanted.strip("'")) for name, wanted in found]


@pytest.mark.data
@pytest.mark.parametrize("form", ["tests.txt", "test_psl.txt"])
def test_published_checks_of_the_list_pass(shared_data: Path, suites: Suites, form: str) -> None:
    folder = shared_data / "dmarc" / "psl"
    suffixes = read((folder / "public_suffix_list.dat").read_bytes())
    listed = [c for c in cases(form, (folder / form).read_text("utf-8")) if c[0] != "null"]
    wrong = {
        name: f"wants {wanted}, got {said}"
        for name, wanted in listed
        if (said := registered(suffixes, name)) != (ascii_domain(wanted) or "null")
    }
    name = f"public suffix list, {form}"
    suites.hold(name, len(listed), wrong, departures(DEPARTURES, name))


@pytest.mark.parametrize(
    ("domain", "organization"),
    [
        ("a.b.com", "b.com"),
        ("com", "com"),
        ("a.b.co.uk", "b.co.uk"),
        ("a.b.x.ck", "b.x.ck"),
        ("x.ck", "x.ck"),
        ("a.www.ck", "www.ck"),
        ("a.b.foo.com", "b.foo.com"),
        ("a.xn--55qx5d.cn", "a.xn--55qx5d.cn"),
        ("a.b.unlisted", "b.unlisted"),
    ],
)
def test_organization_is_one_label_below_the_longest_rule(domain: str, organization: str) -> None:
    assert LIST.organization(domain) == organization


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "no rule for 'com'"),
        (b"\xff\xfe", "no text"),
        (b"com\n" + b"x" * OCTETS_MAX, "larger"),
    ],
)
def test_what_is_no_list_is_refused_with_a_sentence(octets: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(octets)


def judged(author: str, records: dict[str, bytes], spf: str) -> tuple[Evaluation, list[str]]:
    dns = FakeDns({(f"_dmarc.{name}", "TXT"): [text] for name, text in records.items()})
    walker = Walker(dns, LIST)
    return asyncio.run(evaluate(author, Proofs(spf), dns, walker)), walker.asked


def test_by_the_list_the_author_is_asked_and_then_the_organization() -> None:
    found, asked = judged("a.b.c.co.uk", {"c.co.uk": b"v=DMARC1; p=none; sp=reject"}, "x.c.co.uk")
    assert asked == ["a.b.c.co.uk", "c.co.uk"]
    assert (found.result, found.policy, found.organization) == ("pass", "reject", "c.co.uk")
    assert found.discovery == "psl"


def test_by_the_list_a_record_between_both_and_one_of_the_suffix_do_not_count() -> None:
    records = {"b.c.co.uk": b"v=DMARC1; p=reject; psd=n", "co.uk": b"v=DMARC1; p=reject; psd=y"}
    found, _ = judged("a.b.c.co.uk", records, "")
    assert found.result == "none"


def test_by_the_list_neighbours_below_one_suffix_do_not_align() -> None:
    found, _ = judged("a.co.uk", {"a.co.uk": b"v=DMARC1; p=reject; pct=0"}, "b.co.uk")
    assert (found.result, found.policy) == ("fail", "reject")
