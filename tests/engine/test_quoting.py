"""The place of each character of a text: the file's character there is the text's."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.quoting import character_place

WAYS = {
    "basic": 'key = "a\\"b\\tc\\u00e9d"',
    "literal": "key = 'a\\b'",
    "bare": "key = true",
    "lines": 'key = """\nfirst\n  second"""',
    "lines at once": 'key = """first\nsecond"""',
    "literal lines": "key = '''\na\\\nb'''",
    "joined": 'key = """\nfirst \\\n\n    second \\\\\nthird"""',
}


@pytest.mark.parametrize("way", WAYS)
def test_letters_of_a_text_stand_where_they_are_written(way):
    lines = WAYS[way].split("\n")
    value = tomllib.loads(WAYS[way])["key"]
    for offset, letter in enumerate(str(value).lower()):
        line, column = character_place(lines, (1, 7), offset)
        if letter.isalpha() and letter != "é":
            assert lines[line - 1][column - 1].lower() == letter


def test_escape_is_one_character():
    assert character_place(['key = "\\"x"'], (1, 7), 1) == (1, 10)
    assert character_place(['key = "\\u00e9x"'], (1, 7), 1) == (1, 14)


def test_line_end_is_one_character_but_the_first_is_none():
    lines = ['key = """', "ab", 'c"""']
    assert character_place(lines, (1, 7), 0) == (2, 1)
    assert character_place(lines, (1, 7), 2) == (2, 3)
    assert character_place(lines, (1, 7), 3) == (3, 1)


@given(st.text(st.sampled_from("ab\\\"\n\t é'"), max_size=30), st.integers(0, 60))
def test_place_is_always_in_the_file(text, offset):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    source = f'key = """\n{escaped}"""'
    value = tomllib.loads(source)["key"]
    lines = source.split("\n")
    line, column = character_place(lines, (1, 7), offset)
    assert 1 <= line <= len(lines)
    assert 1 <= column <= len(lines[line - 1]) + 1
    if offset < len(value) and value[offset] not in '\\"\n':
        assert lines[line - 1][column - 1] == value[offset]
