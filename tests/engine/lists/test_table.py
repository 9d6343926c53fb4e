"""Compiled lists: they hold what a plain reading of the same lines holds."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.errors import Misconfigured
from millrace.engine.lists import patterns
from millrace.engine.lists.compiling import compiled
from millrace.engine.lists.entries import read
from millrace.engine.lists.holding import held, near, same
from millrace.engine.lists.image import Image
from millrace.engine.lists.table import opened

NOW = 1_767_225_600.0  # 2026-01-01T00:00Z


def table(kind, *lines, now=NOW):
    data = "".join(line + "\n" for line in lines).encode()
    return opened(memoryview(compiled(data, kind, "x." + kind)), lambda: now)[0]


@pytest.mark.parametrize(
    ("kind", "entry", "value", "holds"),
    [
        ("domains", "example.org", "example.org", True),
        ("domains", "example.org", "Example.ORG.", True),
        ("domains", "example.org", "a.example.org", False),
        ("domains", ".example.org", "example.org", True),
        ("domains", ".example.org", "a.b.example.org", True),
        ("domains", ".example.org", "anexample.org", False),
        ("domains", ".org", "example.org", True),
        ("domains", "xn--bcher-kva.example", "bücher.example", True),
        ("domains", "bücher.example", "xn--bcher-kva.example", True),
        ("domains", "example.org", "", False),
        ("addresses", "ann@example.org", "Ann@EXAMPLE.org", True),
        ("addresses", "ann@example.org", "bob@example.org", False),
        ("addresses", "@example.org", "bob@example.org", True),
        ("addresses", "@example.org", "bob@a.example.org", False),
        ("addresses", "@example.org", "", False),
        ("networks", "192.0.2.0/24", "192.0.2.200", True),
        ("networks", "192.0.2.0/24", "192.0.3.0", False),
        ("networks", "192.0.2.0/24", "::ffff:192.0.2.1", True),
        ("networks", "0.0.0.0/0", "255.255.255.255", True),
        ("networks", "::/0", "192.0.2.1", False),
        ("networks", "2001:db8::/33", "2001:db8:7fff::1", True),
        ("networks", "2001:db8::/33", "2001:db8:8000::1", False),
        ("networks", "2001:db8::8000:0:0:1", "2001:db8::8000:0:0:1", True),
        ("networks", "192.0.2.0/24", "mail.example", False),
        ("networks", "192.0.2.0/24", "192.0.2.1\0", False),
        ("map", "example.org = gold", "EXAMPLE.org", True),
        ("map", "example.org = gold", "example.com", False),
        ("patterns", "(?i)act now", "You must ACT NOW, friend", True),
        ("patterns", "act now", "ACT NOW", False),
        ("patterns", "^x+$", "xxx\ud800", False),
    ],
)
def test_entry_holds_what_it_says(kind, entry, value, holds):
    assert table(kind, entry).holds(value) is holds
    assert table(kind).holds(value) is False


def test_map_gives_its_values_and_other_kinds_none():
    tier = table("map", "a.example = gold", "b.example = Für uns", "c.example = x until 2025-12-30")
    assert (tier.value("A.example"), tier.value("b.example")) == ("gold", "Für uns")
    assert tier.value("c.example") is None
    assert tier.value("d.example") is None
    assert table("domains", "a.example").value("a.example") is None


@pytest.mark.parametrize(
    ("kind", "entry", "value"),
    [
        ("domains", "example.org", "example.org"),
        ("domains", ".example.org", "a.example.org"),
        ("addresses", "@example.org", "a@example.org"),
        ("networks", "192.0.2.0/24", "192.0.2.1"),
        ("patterns", "act", "act now"),
        ("map", "a = b", "a"),
    ],
)
def test_entry_that_has_ended_is_not_held(kind, entry, value):
    line = f"{entry}   until 2026-01-01"
    assert table(kind, line).holds(value)
    assert not table(kind, line, now=NOW + 86_400).holds(value)


def test_ended_exact_entry_does_not_hide_the_domain_above_it():
    found = table("domains", "a.example.org until 2025-06-30", ".example.org")
    assert found.holds("a.example.org")


def test_network_inside_another_holds_as_long_as_the_longer_of_both():
    inner_ends = table("networks", "192.0.2.0/24", "192.0.2.8/29 until 2025-06-30")
    outer_ends = table("networks", "192.0.2.0/24 until 2025-06-30", "192.0.2.8/29")
    assert [inner_ends.holds(f"192.0.2.{n}") for n in (7, 8, 15, 16)] == [True] * 4
    assert [outer_ends.holds(f"192.0.2.{n}") for n in (7, 8, 15, 16)] == [False, True, True, False]


def no_line_is_missed(kind, lines, value) -> bool:
    """Whether the guesses at lines let through what a close look finds."""
    for line in lines:
        entry = read(kind, line)
        assert same(kind, entry.key)(line)
        assert near(kind, value)(line) or not held(kind, entry, value)
    return True


@pytest.mark.parametrize(
    ("kind", "line", "value"),
    [
        ("domains", "  Bücher.example. # why", "xn--bcher-kva.example"),
        ("domains", "\t.EXAMPLE.org until 2026-12-31", "a.example.org"),
        ("addresses", "@Example.org", "ann@example.org"),
        ("addresses", "Ann@Example.org", "ann@example.org"),
        ("networks", "192.0.2.0/255.255.255.0", "192.0.2.9"),
        ("networks", "2001:0db8:0::/32", "2001:db8::1"),
        ("networks", "::ffff:192.0.2.0/120", "192.0.2.9"),
        ("map", "Two Words=x", "two words"),
        ("patterns", "act  # why", "we act"),
    ],
)
def test_line_that_is_written_unusually_is_found_too(kind, line, value):
    assert held(kind, read(kind, line), value)
    assert no_line_is_missed(kind, [line], value)


_V4 = st.builds(
    lambda number, prefix: str(ipaddress.ip_network((0xC0000200 | number, prefix), strict=False)),
    st.integers(0, 255),
    st.integers(22, 32),
)
_V6 = st.builds(
    lambda number, prefix: str(ipaddress.ip_network((number << 60, prefix), strict=False)),
    st.integers(0, 255),
    st.integers(56, 72),
)
_ENDS = st.sampled_from(["", " until 2025-06-30", " until 2026-06-30"])


@given(
    st.lists(st.tuples(_V4 | _V6, _ENDS), max_size=12), st.integers(-600, 600), st.integers(0, 600)
)
def test_networks_hold_what_each_of_them_alone_would(networks, offset, high):
    lines = [network + end for network, end in networks]
    found = table("networks", *lines)
    for value in (
        str(ipaddress.ip_address(0xC0000200 + offset)),
        str(ipaddress.IPv6Address(high << 59)),
    ):
        entries = [read("networks", line) for line in lines]
        expected = any(held("networks", e, value) and e.until > NOW for e in entries)
        assert found.holds(value) is expected
        assert no_line_is_missed("networks", lines, value)


_LABEL = st.text("ab", min_size=1, max_size=2)
_NAME = st.lists(_LABEL, min_size=1, max_size=4).map(".".join)


@given(st.lists(st.tuples(st.sampled_from(["", "."]), _NAME, _ENDS), max_size=12), _NAME)
def test_domains_hold_what_each_of_them_alone_would(names, value):
    lines = [dot + name + end for dot, name, end in names]
    entries = [read("domains", line) for line in lines]
    expected = any(held("domains", e, value) and e.until > NOW for e in entries)
    assert table("domains", *lines).holds(value) is expected
    assert no_line_is_missed("domains", lines, value)


def test_ten_thousand_keys_are_all_found_and_their_neighbours_not():
    found = table("map", *(f"k{n} = {n}" for n in range(10_000)))
    assert [found.value(f"k{n}") for n in range(10_000)] == [str(n) for n in range(10_000)]
    assert not any(found.holds(f"k{n}") for n in range(10_000, 20_000))


def test_every_bad_line_is_told_with_its_place_and_excerpt():
    with pytest.raises(Misconfigured) as caught:
        table("domains", "# partners", "*.a.example", "fine.example", "b.example until 20")
    assert str(caught.value) == (
        "x.domains:2:1  '*.a.example' is no domain\n"
        "    *.a.example\n"
        "    ^^^^^^^^^^^\n"
        "    Write .a.example for a domain and all below it.\n"
        "\n"
        "x.domains:4:17  '20' is no date\n"
        "    b.example until 20\n"
        "                    ^^\n"
        "    until 2026-12-31, or until 2026-12-31T18:00Z"
    )


def test_pattern_that_may_take_for_ever_is_refused_with_its_line():
    with pytest.raises(Misconfigured) as caught:
        table("patterns", "fine", r"(a)\1")
    (fault,) = caught.value.faults
    assert (fault.place.line, fault.sentence[:24]) == (2, "is no regular expression")


def test_file_of_faults_ends_after_twenty_of_them():
    with pytest.raises(Misconfigured) as caught:
        table("networks", *["x"] * 1000)
    assert len(caught.value.faults) == 20


def test_file_without_a_last_line_break_is_taken_for_half_written():
    with pytest.raises(Misconfigured, match="x:2  ends in the middle of a line"):
        compiled(b"a.example\nb.exam", "domains", "x")


def test_line_that_is_not_utf8_is_told():
    with pytest.raises(Misconfigured, match="x:2:3  is not UTF-8"):
        compiled(b"a = 1\nb=\xff\n", "map", "x")


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("domains", ["a.example", "b.example", "A.example # again"]),
        ("networks", ["192.0.2.1", "192.0.2.0/24", "192.0.2.1/32"]),
        ("map", ["a = 1", "b = 1", "a = 1"]),
    ],
)
def test_duplicate_is_remarked_with_both_lines(kind, lines):
    data = "".join(line + "\n" for line in lines).encode()
    head = Image(memoryview(compiled(data, kind, "x"))).head
    (remark,) = head["remarks"]
    assert (remark["sentence"], remark["place"]["line"]) == ("stands in line 1 already", 3)


def test_key_with_two_values_is_a_fault():
    with pytest.raises(Misconfigured, match="'a' has two values"):
        table("map", "a = 1", "a = 2")


def test_of_two_ends_of_one_entry_the_later_one_counts():
    assert table("domains", "a.example until 2025-01-01", "a.example").holds("a.example")
    assert table("domains", "a.example", "a.example until 2025-01-01").holds("a.example")


def test_image_that_is_cut_or_foreign_is_refused():
    image = compiled(b"a.example\n", "domains", "x")
    for bad in (image[:-8], b"other" + image, b""):
        with pytest.raises(ValueError, match="its image is"):
            opened(memoryview(bad))


@given(
    st.sampled_from(["domains", "addresses", "networks", "map", "patterns"]),
    st.lists(
        st.text("aü.@/:0129 -=*#()[until\t\r\0") | st.text(max_size=30) | st.binary(max_size=30)
    ),
)
def test_whatever_stands_in_a_file_it_is_taken_or_told(kind, lines):
    octets = [each if isinstance(each, bytes) else each.encode() for each in lines]
    data = b"".join(line + b"\n" for line in octets)
    found, faults = tried(kind, data)
    for line in octets if found is not None else ():
        assert found.holds(line.decode("utf-8", "replace")) in (True, False)
    assert all(fault.sentence and fault.place.line for fault in faults)


def tried(kind, data):
    """The table, or the faults."""
    try:
        return opened(memoryview(compiled(data, kind, "x")), lambda: NOW)[0], ()
    except Misconfigured as error:
        return None, error.faults


def test_patterns_that_are_too_much_together_are_told(monkeypatch):
    monkeypatch.setattr(patterns, "MEMORY", 100_000)
    assert table("patterns", "word0 in [a-z]+").holds("word0 in a")
    with pytest.raises(ValueError, match="more than RE2 can search for at once"):
        table("patterns", *(f"word{n} in [a-z]+" for n in range(2000)))
