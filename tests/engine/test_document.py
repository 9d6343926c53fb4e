"""Where keys stand in a TOML file, and what is said of a file that is none."""

import os
from pathlib import Path

import pytest

from millrace.engine.document import BYTES_MAX, Document, meant, nearest
from millrace.engine.errors import Misconfigured

TEXT = """\
title = "x"   # line 1
"quoted key" = 1
a.b = 2

[table]
  key = 'v'
list = [
  "one", # a ] in a comment
  "two = 2",
]
text = \"\"\"
key = "no key"
[no.table]
\"\"\"
after = true

[table.inner]
deep = 1

[[entry]]
name = "first"
[[entry]]
name = "second"
given = { one = { size = 1 }, two = { size = 2, "odd key" = 3 } }
[entry.sub]
x = 1
[[entry.many]]
y = 1
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("title",), "1:1"),
        (("quoted key",), "2:1"),
        (("a", "b"), "3:1"),
        (("table",), "5:1"),
        (("table", "key"), "6:3"),
        (("table", "list"), "7:1"),
        (("table", "text"), "11:1"),
        (("table", "after"), "15:1"),
        (("table", "inner", "deep"), "18:1"),
        (("entry", 0), "20:1"),
        (("entry", 0, "name"), "21:1"),
        (("entry", 1, "name"), "23:1"),
        (("entry", 1, "given", "one"), "24:11"),
        (("entry", 1, "given", "one", "size"), "24:19"),
        (("entry", 1, "given", "two", "size"), "24:39"),
        (("entry", 1, "given", "two", "odd key"), "24:49"),
        (("entry", 1, "sub", "x"), "26:1"),
        (("entry", 1, "many", 0, "y"), "28:1"),
        (("entry", 1, "absent"), "22:1"),
        (("absent",), ""),
    ],
)
def test_key_is_found_where_it_stands(path, place):
    found = str(Document(TEXT, "f.toml").place(path))
    assert found == (f"f.toml:{place}" if place else "f.toml")


def test_line_ends_of_other_systems_move_nothing():
    found = Document(TEXT.replace("\n", "\r\n"), "f.toml").place(("table", "after"))
    assert (found.line, found.column) == (15, 1)


def test_odd_separators_inside_a_text_are_no_line_ends():
    document = Document('a = "x\u2028y"\nb = 1', "f.toml")
    assert document.place(("b",)).line == 2


@pytest.mark.parametrize("quote", ['"', "'"])
def test_fault_inside_a_text_points_at_the_character(quote):
    document = Document(f"  when = {quote}abc{quote}", "f.toml")
    fault = document.fault(("when",), "no", offset=1, width=2)
    assert str(fault) == f"f.toml:1:12  no\n      when = {quote}abc{quote}\n               ^^"


def test_fault_inside_a_text_of_several_lines_has_its_own_line_and_caret():
    document = Document('when = """\n  a and\n  bcd"""', "f.toml")
    fault = document.fault(("when",), "no", offset=10, width=3)
    assert str(fault) == 'f.toml:3:3  no\n      bcd"""\n      ^^^'


def test_caret_ends_with_its_line():
    document = Document('when = """\nabc\nd"""', "f.toml")
    assert document.fault(("when",), "no", offset=1, width=9).width == 2


def test_long_line_is_shown_around_its_fault():
    document = Document('when = "' + "a" * 500 + "!" + "b" * 500 + '"', "f.toml")
    head, line, caret = str(document.fault(("when",), "no", offset=500)).split("\n")
    assert head == "f.toml:1:509  no"
    assert line[caret.index("^")] == "!"
    assert len(line) < 220


def test_escapes_before_a_fault_are_counted():
    document = Document('when = "\\"a\\" b"', "f.toml")
    assert str(document.fault(("when",), "no", offset=4).place) == "f.toml:1:15"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a = \n", "f.toml:1:3", "is not TOML: nothing stands behind '='"),
        ("a = 1\na = 2\n", "f.toml:2:1", "is not TOML: 'a' stands twice"),
        ("[a", "f.toml:1:1", "is not TOML: "),
        ("a = " + "[" * 5000, "f.toml", "is nested too deeply"),
    ],
)
def test_text_that_is_no_toml_is_told_with_its_place(text, place, words):
    with pytest.raises(Misconfigured) as caught:
        Document(text, "f.toml")
    (fault,) = caught.value.faults
    assert fault.sentence.startswith(words)
    assert fault.place.file == "f.toml"
    assert str(fault.place).startswith(place.removesuffix(":1"))


def test_value_without_quotes_gets_the_hint_that_mends_it():
    with pytest.raises(Misconfigured) as caught:
        Document("a = spf", "f.toml")
    assert caught.value.faults[0].hint == 'Text stands in quotes: key = "value".'


def test_file_that_cannot_be_read_is_told_with_its_name(tmp_path):
    missing, binary, huge = tmp_path / "no.toml", tmp_path / "b.toml", tmp_path / "h.toml"
    binary.write_bytes(b"a = 1\n\xff")
    with huge.open("wb") as file:
        file.truncate(BYTES_MAX + 1)
    os.mkfifo(tmp_path / "pipe.toml")
    for path, words in [
        (missing, "cannot be read: No such file or directory"),
        (tmp_path, "cannot be read: Is a directory"),
        (huge, "is larger than 4 MiB"),
        (tmp_path / "pipe.toml", "cannot be read: it is no regular file"),
        (Path("/dev/zero"), "cannot be read: it is no regular file"),
    ]:
        with pytest.raises(Misconfigured) as caught:
            Document.load(path)
        assert str(caught.value).splitlines()[0] == f"{path}  {words}"


@pytest.mark.parametrize(
    ("word", "expected"),
    [("spff", "spf"), ("SPF", "spf"), ("dmrac", "dmarc"), ("xyzzy", None), ("", None)],
)
def test_nearest_name_is_the_one_that_was_meant(word, expected):
    assert nearest(word, ["spf", "dkim", "dmarc"]) == expected


def test_hint_lists_few_names_and_only_the_nearest_of_many():
    many = [f"name{n}" for n in range(30)]
    assert meant("dkm", ["spf", "dkim"]) == "one of: dkim spf\ndid you mean 'dkim'?"
    assert meant("name77", many).startswith("did you mean 'name")
    assert meant("xyzzy", many).startswith("one of: name0 ")
    assert meant("x", []) == ""


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a = b", 'Text stands in quotes: key = "value".'),
        ('a = "b == "c""',
         "In a text between two \" a text stands between two ': when = \"spf.result == 'fail'\"."),
        ('a = "\\d"', "Write \\\\ for \\, or put the whole between three ' at each end."),
    ],
)  # fmt: skip
def test_text_that_is_no_toml_says_what_to_write(text, hint):
    with pytest.raises(Misconfigured) as caught:
        Document(text, "f.toml")
    assert caught.value.faults[0].hint == hint


def test_a_mark_before_the_text_is_passed_over(tmp_path):
    path = tmp_path / "f.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\n")
    found = Document.load(path)
    assert (found.data, found.place(("a",)).column) == ({"a": 1}, 1)


def test_a_list_of_tables_stands_where_its_first_one_does():
    assert Document("x = 1\n[[b]]\ny = 1\n", "f.toml").place(("b",)).line == 2


def test_place_behind_a_bracket_in_a_text_of_many_lines_is_its_own():
    document = Document('a = ["""\n]\nb = 1\n"""]\nb = 2\n["x]y"]\nc = 3\n', "f.toml")
    assert str(document.place(("b",))) == "f.toml:5:1"
    assert str(document.place(("x]y", "c"))) == "f.toml:7:1"
