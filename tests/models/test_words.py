"""The words of a text: what they are, and that C finds the ones that Python does."""

from __future__ import annotations

import os
import subprocess
import sys
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.models import words as module
from millrace.models.words import IGNORED, MASK, numbered, plainly, words

in_c = pytest.mark.skipif(
    module._words is None and not os.environ.get("CI"),
    reason="no compiler was there at `make install`",
)


def test_case_and_spacing_of_punctuation_do_not_count() -> None:
    assert numbered(b"Don't PAY $100, now!") == numbered(b"don ' t pay $ 100 , now !")


def test_letters_beyond_ascii_have_one_case_too() -> None:
    assert numbered("GRÖẞE\xa0ΑΒΓ".encode()) == numbered("größe αβγ".encode())


def test_a_word_has_the_number_that_weights_are_kept_under() -> None:
    assert numbered(b"Offer!") == {crc32(b"offer") & MASK: b"offer", crc32(b"!") & MASK: b"!"}
    assert numbered(b"offer", 7) == {crc32(b"offer", 7) & MASK: b"offer"}


def test_digits_are_shapes_and_codes_are_dropped() -> None:
    found = numbered(b"call 555-1234 " + b"x" * 25 + b" " + b"y" * 24)
    assert set(found.values()) == {b"call", b"000", b"0000", b"y" * 24}


def test_scripts_without_blanks_are_cut_into_pieces() -> None:
    found = set(numbered("免费获取优惠券立即点击这里".encode()).values())
    assert len(found) > 4
    assert all(len(piece) <= 6 for piece in found)


def test_words_that_tell_the_collection_are_none() -> None:
    assert set(numbered(b"lists.sourceforge.net says hello").values()) == {b"says", b"hello"}


def test_of_two_words_with_one_number_the_greater_is_named(monkeypatch) -> None:
    monkeypatch.setattr(module, "MASK", 0)
    for text in (b"one two three", b"three two one"):
        assert list(plainly(text, 0).values()) == [b"two"]


# --- C against Python


def c_words(text: bytes, start: int = 0, mask: int = MASK) -> dict[int, bytes]:
    terms = (*module._terms[:3], mask, *module._terms[4:])
    found: dict[int, bytes] = module._words.numbered(terms, text, start)
    return found


PIECES = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from(sorted(IGNORED)),
    st.sampled_from([b"!", b"$", b"%", b" ", b"\n", b"\x00", b"0t0", b"a" * 24, b"a" * 25]),
    st.integers(230, 250).map(lambda n: b"\xe5" * n),
    st.lists(st.sampled_from([b"ab", b"c", b"\xc3\xa4"]), max_size=300).map(b"".join),
)
TEXTS = st.lists(PIECES, max_size=60).map(b" ".join) | st.binary(max_size=2000)


@in_c
@settings(max_examples=500, deadline=None)
@given(TEXTS, st.integers(0, 2**32 - 1), st.sampled_from([MASK, 1023, 15, 0]))
def test_c_finds_the_words_that_python_finds(text: bytes, start: int, mask: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "MASK", mask)
        assert c_words(text, start, mask) == plainly(text, start)


@in_c
def test_c_finds_twenty_thousand_words_too() -> None:
    letters = [
        b"%c%c%c%c" % (97 + n % 26, 97 + n // 26 % 26, 97 + n // 676, 122) for n in range(17576)
    ]
    text = b" ".join(letters)
    assert c_words(text) == plainly(text, 0)
    assert len(plainly(text, 0)) > 16000


@in_c
@pytest.mark.parametrize(
    ("at", "value", "raises"),
    [
        (0, b" " * 255, ValueError),
        (2, {b"http"}, TypeError),
        (4, 0, ValueError),
        (5, 0, ValueError),
        (0, "table", TypeError),
    ],
)
def test_c_refuses_terms_that_cannot_be(at: int, value: object, raises: type) -> None:
    terms = [*module._terms]
    terms[at] = value
    with pytest.raises(raises):
        module._words.numbered(tuple(terms), b"text", 0)


def test_without_c_python_finds_them() -> None:
    code = (
        "import sys; sys.modules['millrace.models._words'] = None; "
        "from millrace.models import words; "
        "assert words._words is None; print(sorted(words.numbered(b'A new OFFER, 100 %')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == f"{sorted(numbered(b'A new OFFER, 100 %'))}\n"


def test_folded_text_is_what_words_are_found_in() -> None:
    assert words(b"an offer of a list!") == {b"an", b"offer", b"of", b"a", b"!"}
