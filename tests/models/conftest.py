"""A corpus small enough to learn from in a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

HAM = ("meeting", "patch", "kernel", "attached", "thanks", "review", "lunch", "friday")
SPAM = ("viagra", "offer", "winner", "click", "cheap", "pills", "money", "guarantee")


def mail(number: int, spam: bool) -> bytes:
    """The text of a mail whose words tell what it is, with a letter code to be unlike others."""
    pool = SPAM if spam else HAM
    own = "".join(chr(97 + int(digit)) for digit in f"{number:04}")
    words = " ".join(pool[(number + step) % len(pool)] for step in range(4))
    return (
        f"From: A <a@example.org>\r\nDate: x\r\nSubject: {pool[number % 8]}\r\n"
        f"Message-ID: <{number}@x>\r\n\r\n{words} about the thing {own}\r\n"
    ).encode()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ham/ and spam/, 80 mails in each."""
    root = tmp_path_factory.mktemp("corpus")
    for label in ("ham", "spam"):
        (root / label).mkdir()
        for number in range(80):
            (root / label / f"{number:04}.eml").write_bytes(mail(number, label == "spam"))
    return root
