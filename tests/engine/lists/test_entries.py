"""Lines of lists: what they say, and what is said of those that say nothing."""

import pytest

from millrace.engine.lists.entries import FOREVER, Entry, Unfit, read, written

DAY = 1_767_225_600  # 2026-01-01T00:00Z


@pytest.mark.parametrize(
    ("kind", "line", "entry"),
    [
        ("domains", "Example.ORG", Entry("example.org")),
        ("domains", "  .example.org.  ", Entry(".example.org")),
        ("domains", "bücher.example", Entry("xn--bcher-kva.example")),
        ("domains", "a.example until 2025-12-31 # fair", Entry("a.example", "", DAY, "fair")),
        ("domains", "a.example until 2026-01-01T00:00Z", Entry("a.example", "", DAY)),
        ("domains", "a.example until 2026-01-01T01:00+01:00", Entry("a.example", "", DAY)),
        ("addresses", "Ann+x@Example.org #x", Entry("ann+x@example.org", why="x")),
        ("addresses", "@example.org", Entry("@example.org")),
        ("networks", "192.0.2.7", Entry("192.0.2.7/32")),
        ("networks", "2001:DB8::/32\t# v6", Entry("2001:db8::/32", why="v6")),
        ("networks", "::ffff:192.0.2.0/120", Entry("192.0.2.0/24")),
        ("patterns", r"(?i)a#b until then", Entry("(?i)a#b until then")),
        ("patterns", r"act now   until 2025-12-31", Entry("act now", "", DAY)),
        ("map", "Example.org = Gold Card # best", Entry("example.org", "Gold Card", why="best")),
        ("map", "a = b = c", Entry("a", "b = c")),
        ("domains", "   # nothing but words", None),
        ("domains", "", None),
    ],
)
def test_line_is_read_as_it_is_written(kind, line, entry):
    assert read(kind, line) == entry


@pytest.mark.parametrize(
    ("kind", "line", "sentence", "hint", "column"),
    [
        ("domains", "*.example.org", "'*.example.org' is no domain", "Write .example.org", 1),
        ("domains", "  ann@a.example", "'ann@a.example' is an address, not a domain", ".addr", 3),
        (
            "domains",
            "a.example b.example",
            "'a.example b.example' is more than one entry; each has its line",
            "behind '#'",
            1,
        ),
        ("domains", "exa mple", "'exa mple' is more than one entry; each has its line", "", 1),
        ("domains", "-a-.example", "'-a-.example' is no domain", "Such as example.org", 1),
        ("domains", "a.example until tomorrow", "'until' wants a date", "2026-12-31", 11),
        ("domains", "a.example until 2026-13-01", "'2026-13-01' is no date", "2026-12-31", 17),
        ("addresses", "example.org", "'example.org' is no address", "@example.org", 1),
        ("addresses", "a b@example.org", "'a b' cannot stand before the @", "plainly", 1),
        ("addresses", "@.example.org", "an address names one domain", ".example.org", 1),
        ("networks", "192.0.2.7/24", "'192.0.2.7/24' has bits behind its mask", "192.0.2.0/24", 1),
        ("networks", "example.org", "'example.org' is no network", "192.0.2.0/24", 1),
        ("map", "example.org gold", "is no pair", "example.org = gold", 1),
        ("map", "= gold", "lacks its key", "", 1),
        ("map", "x" * 5000, "is longer than 4096 characters", "", 1),
    ],
)
def test_line_that_is_no_entry_says_what_to_write(kind, line, sentence, hint, column):
    with pytest.raises(Unfit) as caught:
        read(kind, line)
    assert caught.value.sentence == sentence
    assert hint in caught.value.hint
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        ("domains", Entry(".example.org", "", DAY, "they asked")),
        ("domains", Entry("example.org", "", DAY + 3600)),
        ("map", Entry("a", "b c", FOREVER, "x")),
        ("patterns", Entry("(?i)act now")),
    ],
)
def test_written_entry_reads_as_itself(kind, entry):
    assert read(kind, written(entry, kind)) == entry
