"""Regular expressions of operators, in linear time (google-re2).

The library is loaded when the first pattern asks for it.  A pattern is found anywhere in a
text, as octets of UTF-8: what strangers send need not be text.

Fails: `search` raises `Unreadable` for a pattern that cannot be used, `Missing` where the
library is not installed; what it gives never raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LENGTH_MAX = 2048
INSTALL = "pip install 'millrace[regexp]'"


class Unreadable(ValueError):
    """A pattern that cannot be used; the words say why."""


class Missing(Unreadable):
    """The library is not installed."""


def search(pattern: str) -> Callable[[str], bool]:
    """A function that finds the pattern in a text, in time that grows with the text alone."""
    if not pattern:
        raise Unreadable("an empty pattern is found in every text")
    if len(pattern) > LENGTH_MAX:
        raise Unreadable(f"the pattern is longer than {LENGTH_MAX} characters")
    find = _compiled(pattern).search

    def found(text: str) -> bool:
        return find(text.encode("utf-8", "surrogatepass")) is not None

    return found


def _compiled(pattern: str) -> Any:  # noqa: ANN401 - a type of the library's own
    try:
        import re2
    except ImportError:
        raise Missing("regular expressions need google-re2, which is not installed") from None
    options = re2.Options()
    options.log_errors = False  # it would write to stderr
    options.never_capture = True
    try:
        return re2.compile(pattern.encode("utf-8"), options)
    except UnicodeEncodeError:
        raise Unreadable("the pattern is no UTF-8") from None
    except re2.error as error:
        raise Unreadable(_words(error.args[0])) from None


def _words(told: object) -> str:
    words = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
    if words.startswith("invalid perl operator"):
        return f"'{words.partition(': ')[2]}' looks ahead or behind, which takes no bounded time"
    return f"the pattern cannot be read: {words}"
