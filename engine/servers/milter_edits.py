"""Edits in the order and at the positions by which an MTA comes to our result.

An edit counts fields as they came to us.  An MTA numbers anew after each edit, and counts
its own trace field, which it puts on top and never shows to a filter.  So the header
section is edited here on paper, and what was inserted is then named from the top down,
at its final place.  Sendmail counts the fields of its own configuration as well, also
those that are not written: there what is meant for the middle stands above what came.

Fails: never.  When the MTA was not asked for the header section, edits go as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from millrace.engine.mail.edits import (
    AddHeader,
    ChangeHeader,
    Edit,
    InsertHeader,
    RemoveHeader,
    ReplaceBody,
    standing_place,
)
from millrace.engine.mail.headers import Field, Headers

Added = AddHeader | ChangeHeader | InsertHeader
_IN_HEADER = (AddHeader, ChangeHeader, InsertHeader, RemoveHeader)


def in_order(headers: Headers, edits: Sequence[Edit]) -> list[Edit]:
    """All edits as they are to be sent: fields, then the last body, then the envelope."""
    fields = [edit for edit in edits if isinstance(edit, _IN_HEADER)]
    bodies = [edit for edit in edits if isinstance(edit, ReplaceBody)]
    rest = [edit for edit in edits if not isinstance(edit, (*_IN_HEADER, ReplaceBody))]
    return [*(_Paper(headers).edits(fields) if len(headers) else fields), *bodies[-1:], *rest]


class _Paper:
    """The header section as a list of places: fields as they came, additions, gaps."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers
        self._places: list[Field | Added | None] = list(headers.fields)
        self._changed: list[Edit] = []
        self._removed: list[RemoveHeader] = []

    def edits(self, edits: Iterable[Edit]) -> list[Edit]:
        for edit in edits:
            match edit:
                case InsertHeader():
                    self._places.insert(standing_place(self._places, edit.index), edit)
                case AddHeader():
                    self._places.append(edit)
                case ChangeHeader() | RemoveHeader():
                    self._substitute(edit)
        from_the_last = sorted(self._removed, key=lambda edit: -edit.index)
        return [*self._changed, *from_the_last, *self._additions()]

    def _substitute(self, edit: ChangeHeader | RemoveHeader) -> None:
        wanted = self._headers.all(edit.name.encode("utf-8"))
        if edit.index > len(wanted):
            if isinstance(edit, ChangeHeader):
                self._places.append(edit)
            return
        target = wanted[max(edit.index, 1) - 1]
        at = next((at for at, place in enumerate(self._places) if place is target), -1)
        if at < 0:
            return  # an earlier edit has it
        if isinstance(edit, RemoveHeader):
            self._places[at] = None
            self._removed.append(edit)
        else:
            # a place of its own: no later edit finds the field that came
            self._places[at] = Field(*target)
            self._changed.append(edit)

    def _additions(self) -> list[Edit]:
        places = [place for place in self._places if place is not None]
        inserted = [isinstance(place, InsertHeader) for place in places]
        top = [*inserted, False].index(False)
        last = max((at for at, place in enumerate(places) if isinstance(place, Field)), default=-1)
        made: list[Edit] = []
        for at, place in enumerate(places):
            if isinstance(place, Field):
                continue
            if at < top:
                made.append(InsertHeader(place.name, place.value, at))
            elif at < last:
                # the MTA's own trace field stands between what is on top and what came
                made.append(InsertHeader(place.name, place.value, at + 1))
            else:
                made.append(AddHeader(place.name, place.value))
        return made
