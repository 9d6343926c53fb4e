"""Facts and sources of a test, as conditions see them.

What was not given is absent.

Fails: never.
"""

from __future__ import annotations

from collections.abc import Mapping


class GivenRecord:
    """A fact of a test: the fields that were given, all others absent."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> object:
        return self._values.get(name)


class GivenHeaders(GivenRecord):
    """The header section of a test: fields of `headers`, and header fields by their name."""

    def __init__(self, values: Mapping[str, object], texts: Mapping[str, object]) -> None:
        by_name = {name.lower().encode(): text for name, text in texts.items()}
        subject = values.get("subject", by_name.get(b"subject"))
        super().__init__({**values, "subject": subject})
        self._texts = {b"subject": subject, **by_name}

    def text(self, name: bytes) -> object:
        """The header field of that name; None where it was not given."""
        return self._texts.get(name.lower())


def is_field_name(key: str) -> bool:
    """Whether a key of `headers` names a header field: those begin with a capital."""
    return key[:1].isupper()
