"""Edits on the way to an MTA: what it makes of them is what the engine made."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import (
    AddHeader,
    AddRecipient,
    ChangeHeader,
    Edit,
    InsertHeader,
    RemoveHeader,
    ReplaceBody,
    edited,
    field_of,
)
from millrace.engine.mail.envelope import Envelope, Sender
from millrace.engine.mail.headers import Field, Headers
from millrace.engine.mail.message import Body, Message
from millrace.engine.servers.milter_edits import in_order

NAMES = ("A", "B", "C")
TRACE = Field(b"Received", b" the MTA's own")
numbers = st.integers(1, 4)
names, values = st.sampled_from(NAMES), st.sampled_from(("1", "2", "3"))
edits = st.lists(
    st.one_of(
        st.builds(AddHeader, names, values),
        st.builds(InsertHeader, names, values, st.integers(0, 8)),
        st.builds(ChangeHeader, names, values, numbers),
        st.builds(RemoveHeader, names, numbers),
    ),
    max_size=8,
)
headers = st.lists(names, min_size=1, max_size=6).map(
    lambda chosen: Headers((name.encode(), b" came %d" % at) for at, name in enumerate(chosen))
)


def mta(headers: Headers, edits: Iterable[Edit]) -> list[Field]:
    """What Postfix makes of it: it numbers anew after each edit, its own field counts."""
    fields = [TRACE, *headers]
    for edit in edits:
        assert isinstance(edit, AddHeader | InsertHeader | ChangeHeader | RemoveHeader)
        named = [at for at, each in enumerate(fields) if each.name == edit.name.encode()]
        match edit:
            case AddHeader():
                fields.append(field_of(edit.name, edit.value))
            case InsertHeader():
                fields.insert(edit.index, field_of(edit.name, edit.value))
            case ChangeHeader():
                fields[named[edit.index - 1]] = field_of(edit.name, edit.value)
            case RemoveHeader():
                del fields[named[edit.index - 1]]
    return [each for each in fields if each is not TRACE]


@given(headers, edits)
def test_the_mta_comes_to_the_fields_that_the_archive_keeps(
    headers: Headers, edits: list[Edit]
) -> None:
    ours = edited(Envelope("1", Sender(None), ()), Message(headers, Body(b"")), edits)
    assert mta(headers, in_order(headers, edits)) == list(ours.message.headers)


def test_only_the_last_body_goes_out_and_the_envelope_comes_after_it() -> None:
    first, last = ReplaceBody(b"1"), ReplaceBody(b"2")
    more, field = AddRecipient(Address("a", "b.example")), AddHeader("X", "y")
    headers = Headers([(b"A", b" 1")])
    assert in_order(headers, [more, first, field, last]) == [field, last, more]


def test_edits_of_an_unseen_header_section_go_as_they_are() -> None:
    edits = [RemoveHeader("A", 2), ChangeHeader("B", "1"), InsertHeader("C", "1", 3)]
    assert in_order(Headers(), edits) == edits
