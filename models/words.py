"""The words of a text, their numbers, and what they weigh.

Case and the spacing of punctuation are normalised, and digits become 0, since some
collections come as lower-case tokens.  A number is the word's CRC-32, cut to 18 bits.

`_words.c` weighs in a quarter of the time where a compiler was there when we were installed;
`plainly` says what it must give, and serves where it is missing.

Fails: never, whatever the bytes.
"""

from __future__ import annotations

from functools import partial
from zlib import crc32

try:
    from millrace.models import _words
except ImportError:  # no compiler was there
    _words = None  # type: ignore[assignment]

Sign = str | bytes  # a word's bytes, or a sign in words
BITS = 18
MASK = (1 << BITS) - 1
WORD_MAX = 24  # bytes; longer runs are codes, or a script without blanks
PIECE = 6  # bytes of such a script that stand for a word: two characters or so
PIECES_MAX = 240  # bytes of one run that are cut into pieces


def _table() -> bytes:
    """Letters to lower case, digits to 0, bytes above 127 kept, all else a blank."""
    table = bytearray(b" " * 256)
    for code in range(256):
        char = chr(code)
        if code > 127 or (code < 128 and char.isalpha()):
            table[code] = ord(char.lower()) if code < 128 else code
        elif char.isdigit():
            table[code] = ord("0")
    return bytes(table)


_TABLE = _table()
_MARKS = (b"!", b"$", b"%")  # words, though no letters
# words that tell the collection or the decade, not spam from ham: list software's footers,
# feeds that were turned into mail, hosts of the collectors, and how links are written
IGNORED = frozenset(
    b"""http https www com org net html htm list lists mailing mailman listinfo listmaster
    maintainer sponsor sourceforge sf majordomo vger lore kernel usrp ettus ilug linux ie irish
    newsisfree supplied url date 0t0 00t00 xent fork exmh spambayes spamassassin razor rpm
    sightings assassin taint zzzz zzzzteana zzzzason jmason netnoteinc example spamtrap lfdr
    paliourg enron hou ect itec lokay jlokay louise vince sally kaminski bridgeboard wrote
    yahoogroups unsub""".split()
)


Weighed = tuple[int, int, dict[int, Sign]]


def weighed(text: bytes, others: dict[int, Sign], weights: memoryview, least: int) -> Weighed:
    """How many signs there are, their weights' sum, and number → sign of those that tell.

    Signs are the words of UTF-8 text, and `others` by number, which a word of the same number
    hides; one tells when its weight is `least` or more, on either side.
    """
    return _weighed(_folded(text), others, weights, least)


def numbered(text: bytes, start: int = 0) -> dict[int, bytes]:
    """Number → word of UTF-8 text; `start` is the CRC's, and keeps kinds of words apart.

    Of two words with one number the greater is named, so that every process names the same.
    """
    return _numbered(_folded(text), start)


def words(text: bytes) -> set[bytes]:
    """The words of folded text; "!", "$" and "%" are words."""
    found = set(text.translate(_TABLE).split())
    found -= IGNORED
    found.update(mark for mark in _MARKS if mark in text)
    if found and max(map(len, found)) > WORD_MAX:
        _divide(found)
    return found


def plainly(text: bytes, others: dict[int, Sign], weights: memoryview, least: int) -> Weighed:
    """As `weighed`, of folded text."""
    signs: dict[int, Sign] = {**others, **_numbered(text, 0)}
    strong = {n: sign for n, sign in signs.items() if abs(weights[n]) >= least}
    return len(signs), sum(map(weights.__getitem__, signs)), strong


def _numbered(text: bytes, start: int) -> dict[int, bytes]:
    found = words(text)
    named = {crc32(word, start) & MASK: word for word in found}
    if len(named) < len(found):
        named = {crc32(word, start) & MASK: word for word in sorted(found)}
    return named


def _folded(text: bytes) -> bytes:
    """Letters beyond ASCII in lower case, a no-break space as a blank."""
    if text.isascii():
        return text
    return text.decode("utf-8", "replace").lower().replace("\xa0", " ").encode()


def _divide(found: set[bytes]) -> None:
    """Drop codes; cut scripts that have no blanks into pieces."""
    for word in [word for word in found if len(word) > WORD_MAX]:
        found.discard(word)
        if not word.isascii():
            run = word[:PIECES_MAX]
            found.update(run[at : at + PIECE] for at in range(0, len(run), PIECE))


_terms = (_TABLE, b"".join(_MARKS), IGNORED, MASK, WORD_MAX, PIECE, PIECES_MAX)
_weighed = partial(_words.weighed, _terms) if _words else plainly
