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
from millrace.models.words import IGNORED, MASK, Sign, Weighed, numbered, plainly, weighed, words

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
        assert list(numbered(text).values()) == [b"two"]


WEIGHTS = memoryview(bytes((7 * n + n // 256) % 256 for n in range(MASK + 1))).cast("b")


def test_each_sign_weighs_once_and_those_that_tell_are_named() -> None:
    weights = memoryview(bytearray(MASK + 1)).cast("b")
    number = {word: number for number, word in numbered(b"offer new").items()}
    weights[number[b"offer"]], weights[number[b"new"]], weights[7] = -8, 7, 8
    told = {number[b"offer"]: b"offer", 7: "no Date field"}
    assert weighed(b"New offer, offer", {7: "no Date field"}, weights, 8) == (3, 7, told)


def test_a_word_hides_a_sign_of_the_same_number() -> None:
    number = next(iter(numbered(b"offer")))
    _, _, told = weighed(b"offer", {number: "a sign", 5: "another"}, WEIGHTS, 0)
    assert told == {number: b"offer", 5: "another"}


# --- C against Python


def c_weighed(text: bytes, others: dict[int, Sign], least: int, mask: int = MASK) -> Weighed:
    terms = (*module._terms[:3], mask, *module._terms[4:])
    return module._words.weighed(terms, text, others, WEIGHTS, least)


PIECES = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from(sorted(IGNORED)),
    st.sampled_from([b"!", b"$", b"%", b" ", b"\n", b"\x00", b"0t0", b"a" * 24, b"a" * 25]),
    st.integers(230, 250).map(lambda n: b"\xe5" * n),
    st.lists(st.sampled_from([b"ab", b"c", b"\xc3\xa4"]), max_size=300).map(b"".join),
)
TEXTS = st.lists(PIECES, max_size=60).map(b" ".join) | st.binary(max_size=2000)


OTHERS = st.dictionaries(st.integers(0, 40) | st.integers(0, MASK), st.text(max_size=9), max_size=9)


@in_c
@settings(max_examples=500, deadline=None)
@given(TEXTS, OTHERS, st.sampled_from([0, 8, 200]), st.sampled_from([MASK, 1023, 31, 0]))
def test_c_weighs_the_signs_that_python_weighs(
    text: bytes, others: dict[int, Sign], least: int, mask: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "MASK", mask)
        assert c_weighed(text, others, least, mask) == plainly(text, others, WEIGHTS, least)


@in_c
def test_c_weighs_seventeen_thousand_words_too() -> None:
    letters = [bytes([97 + n % 26, 97 + n // 26 % 26, 97 + n // 676, 122]) for n in range(17576)]
    found = c_weighed(b" ".join(letters), {}, 0)
    assert found == plainly(b" ".join(letters), {}, WEIGHTS, 0)
    assert found[0] > 16000


@in_c
@pytest.mark.parametrize(
    ("at", "value", "raises"),
    [
        (0, b" " * 255, ValueError),
        (2, {b"http"}, TypeError),
        (3, 2 * MASK + 1, ValueError),
        (4, 0, ValueError),
        (5, 0, ValueError),
        (0, "table", TypeError),
    ],
)
def test_c_refuses_terms_that_cannot_be(at: int, value: object, raises: type) -> None:
    terms = [*module._terms]
    terms[at] = value
    text = b" ".join(b"%c%c" % (97 + n % 26, 97 + n // 26) for n in range(600))
    with pytest.raises(raises):
        module._words.weighed(tuple(terms), text, {}, WEIGHTS, 8)


@in_c
@pytest.mark.parametrize("key", [MASK + 1, -1, 1 << 70, "7"])
def test_c_refuses_a_sign_that_has_no_weight(key: object) -> None:
    with pytest.raises((ValueError, OverflowError, TypeError)):
        module._words.weighed(module._terms, b"text", {key: "sign"}, WEIGHTS, 8)


def test_without_c_python_weighs_them() -> None:
    code = (
        "import sys; sys.modules['millrace.models._words'] = None; "
        "from millrace.models import words; assert words._words is None; "
        "print(words.weighed(b'A new OFFER', {}, memoryview(bytes(words.MASK + 1)), 1))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "(3, 0, {})\n"


def test_folded_text_is_what_words_are_found_in() -> None:
    assert words(b"an offer of a list!") == {b"an", b"offer", b"of", b"a", b"!"}
