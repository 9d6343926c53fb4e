"""References to standards have one form, so that tools can find them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHELVES = ("engine", "filters", "models", "pipelines", "policies", "contrib")
FILES = sorted(path for shelf in SHELVES for path in (ROOT / shelf).rglob("*.py"))
MENTION = re.compile(r"\brfc.{0,12}", re.IGNORECASE)
GOOD = re.compile(r"RFC [1-9]\d{2,4}(?: §[A-Z\d]|(?! ?§| [Ss]ec)(?!\d))")
NAMES = re.compile(r"rfc\d*_?[a-z]|_rfc|RFC\d+_|rfc822|rfc2047", re.IGNORECASE)


def _wrong(text: str) -> list[str]:
    found = []
    for mention in MENTION.finditer(text):
        around = text[max(mention.start() - 1, 0) : mention.end()]
        if GOOD.match(mention[0] + text[mention.end() : mention.end() + 12]) or NAMES.search(
            around
        ):
            continue
        found.append(mention[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_reference_to_a_standard_has_the_one_form(path):
    assert _wrong(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("RFC 7208 §4.6.4", 0),
        ("RFC 7208.  At most", 0),
        ("(RFC 5321 §4.1.1.1), RFC 3463", 0),
        ("message/rfc822", 0),
        ("RFC7208", 1),
        ("rfc 7208", 1),
        ("RFC 7208 section 4", 1),
        ("RFC 7208, Section 4", 0),
        ("RFC 7208 § 4.6", 1),
        ("RFC-7208", 1),
        ("RFC 7208§4", 1),
    ],
)
def test_other_forms_are_seen(text, wrong):
    assert len(_wrong(text)) == wrong
