"""Each slip in a TOML file is told with its place and with what to type."""

import pytest

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.tomlwords import LINE_MAX

RULE = '[[rule]]\nname = "a"\n'
INLINE = "An inline table stands in one line, no comma at its end: { a = 'x', b = 'y' }."


def told(text: str) -> tuple[str, str, str, str]:
    """Line and column, sentence, what the caret covers, hint."""
    with pytest.raises(Misconfigured) as caught:
        Document(text, "f.toml")
    (fault,) = caught.value.faults
    at = fault.place.column - 1
    place = f"{fault.place.line}:{fault.place.column}"
    sentence = fault.sentence.removeprefix("is not TOML: ")
    return place, sentence, fault.excerpt[at : at + fault.width], fault.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('when = "spf\nthen = "tag"', ("3:8", "a text has no end", '"',
         "It ends in the same line, with the quote that it begins with.")),
        ("when = 'spf\nthen = 'tag'", ("3:8", "a text has no end", "'",
         "It ends in the same line, with the quote that it begins with.")),
        ('when = """spf\nthen = "tag"\n', ("3:8", "a text has no end", '"""',
         'It ends with """, as it begins.')),
        ("when = '''spf\nthen = 'tag'\n", ("3:8", "a text has no end", "'''",
         "It ends with ''', as it begins.")),
        ("[rule]\n", ("3:1", "[rule] where [[rule]] stands in line 1 already", "[rule]",
         "Write [[rule]] for each of them.")),
        ("  name = 'b'\n", ("3:3", "'name' stands twice", "name",
         "The other stands in line 2; remove one of them.")),
        ("name.x = 1\n", ("3:1", "Cannot overwrite a value", "name.x",
         "It has a value above; remove one of them.")),
        ("x = { a = 1, a = 2 }\n", ("3:19", "Duplicate inline table key 'a'", " ",
         "Remove one of them.")),
        ("x = { a = 1, }\n", ("3:14", "Invalid initial character for a key part", "}", INLINE)),
        ("expires = 31.01.2027\n", ("3:11", "31.01.2027 is no date here", "31.01.2027",
         "Write 2027-01-31, without quotes.")),
        ("expires = 1.2.2027  # soon\n", ("3:11", "1.2.2027 is no date here", "1.2.2027",
         "Write 2027-02-01, without quotes.")),
        ("expires = 01/31/2027\n", ("3:11", "01/31/2027 is no date here", "01/31/2027",
         "Write 2027-01-31, without quotes.")),
        ("expires = 31/01/2027\n", ("3:11", "31/01/2027 is no date here", "31/01/2027",
         "Write 2027-01-31, without quotes.")),
        ("expires = 02/03/2027\n", ("3:11", "02/03/2027 is no date here", "02/03/2027",
         "Write 2027-01-31, without quotes.")),
        ("expires = 2027-31-01\n", ("3:11", "2027-31-01 is no date here", "2027-31-01",
         "Write 2027-01-31, without quotes.")),
        ("expires = 2027-1-3\n", ("3:11", "2027-1-3 is no date here", "2027-1-3",
         "Write 2027-01-03, without quotes.")),
        ("expires = 2027-02-31\n", ("3:11", "there is no day 2027-02-31", "2027-02-31",
         "Write a day that the calendar has.")),
        ("then = tag\n", ("3:8", "Invalid value", "t", 'Text stands in quotes: key = "value".')),
        ("then =\n", ("3:6", "nothing stands behind '='", "=", "Write key = value.")),
        ("stop = False\n", ("3:8", "Invalid value", "False", "Write false, in small letters.")),
        ("stop = yes\n", ("3:8", "Invalid value", "yes", "Write true, in small letters.")),
        ("when = “spf”\n", ("3:8", "“ is no quote here", "“", "Write straight quotes: \" or '.")),
        ("then = 'tag',\n", ("3:13", "Expected newline or end of document after a statement", ",",
         "Remove the comma: each key has a line of its own.")),
        ("add = 1,5\n", ("3:7", "Expected newline or end of document after a statement", "1,5",
         "Write 1.5.")),
        ("add = .5\n", ("3:7", "Invalid value", ".5", "Write 0.5.")),
        ("wait = 5m\n", ("3:8", "Expected newline or end of document after a statement", "5m",
         'Write it in quotes: "5m".')),
        ("then: 'tag'\n", ("3:5", "Expected '=' after a key in a key/value pair", ":",
         "Write key = value.")),
        ("then 'tag'\n", ("3:1", "Expected '=' after a key in a key/value pair", "then",
         "Write then = value.")),
        ("// a comment\n", ("3:1", "Invalid statement", "//", "A comment begins with #.")),
        ("[[rule]\n", ("3:1", "Expected ']]' at the end of an array declaration", "[[rule]",
         "Write [[rule]].")),
        ("[odd]]\n", ("3:1", "Expected newline or end of document after a statement", "[odd]]",
         "Write [[odd]], or [odd].")),
        ("x = ['a' 'b']\n", ("3:10", "Unclosed array", "'",
         'Write ["a", "b"]: a comma between two, ] at the end.')),
    ],
)  # fmt: skip
def test_slip_is_told_with_what_to_type(text, expected):
    assert told(RULE + text) == expected


def test_one_table_beside_many_is_told_whichever_comes_first():
    assert told('[rule]\nname = "a"\n[[rule]]\nname = "b"\n') == (
        "3:1", "[[rule]] where [rule] stands in line 1 already", "[[rule]]",
        "Write [[rule]] for each of them.",
    )  # fmt: skip
    assert told("[limits]\n[limits]\n") == (
        "2:1", "[limits] where [limits] stands in line 1 already", "[limits]",
        "Write [[limits]] for each, if there may be several; else remove one of them.",
    )  # fmt: skip


def test_octet_that_is_no_utf_8_is_told_with_its_place_and_its_line(tmp_path):
    path = tmp_path / "b.toml"
    path.write_bytes("a = 'é'\n# caf".encode() + b"\xe9 noir\r\nb = 1\n")
    with pytest.raises(Misconfigured) as caught:
        Document.load(path, "b.toml")
    assert (
        str(caught.value)
        == """\
b.toml:2:6  is not UTF-8 (octet 15 is 0xE9)
    # caf� noir
         ^
    Save it as UTF-8."""
    )


@pytest.mark.parametrize("line", ["x = " + "1.1." * 9 + " ", "x = ", "= ", ", ", "[ ", "a"])
def test_endless_line_is_told_in_little_time(line):
    with pytest.raises(Misconfigured):
        Document(line * LINE_MAX * 50, "f.toml")
