"""Pressure: how many mails, and how many octets of them, may be in work at once.

A bound on the whole daemon, held by all its workers together (`census`).  What lies in a
spool file counts too: it fills the disk as memory would fill.

Fair between clients: nobody may hold, at all workers together, more than what is still free.
One busy client can so have half of everything, two a third each, and a new one always finds
room (Choudhury and Hahne's dynamic threshold, as switches share their buffers).

Fails: never; `begin` gives None and `grow` False where the answer must be 4.3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from millrace.engine.census import MAILS, OCTETS, Census, Seat
from millrace.engine.mail.verdict import Reply

FULL = Reply(451, "4.3.2", "Too much mail at once, try again later")


@dataclass(slots=True)
class Room:
    """Bounds of the whole daemon: mails in work, and their octets."""

    mails: int
    octets: int


class Pressure:
    """Whether there is room for more, beside what all workers have in work."""

    def __init__(self, room: Room, seat: Seat | None = None) -> None:
        self._room = room
        self._seat = seat or Census().seat(0)
        self.refused = 0

    def begin(self, client: str, octets: int = 0) -> Load | None:
        """A client begins a mail of so many octets, as far as it says; None: no room."""
        seat, work = self._seat, self._seat.work(client)
        mails, size = (seat.total(column) for column in work)
        if mails >= self._room.mails - seat.total(MAILS) or size + octets > self._free:
            self.refused += 1
            return None
        seat.add(work[0], 1)
        seat.add(MAILS, 1)
        return Load(self, work)

    @property
    def _free(self) -> int:
        return self._room.octets - self._seat.total(OCTETS)

    def grow(self, column: int, octets: int) -> bool:
        """A client's mail has become larger; False when that is more than there is room for."""
        self._seat.add(column, octets)
        self._seat.add(OCTETS, octets)
        if self._seat.total(column) <= self._free + octets:
            return True
        self.refused += 1
        return False

    def end(self, work: tuple[int, int], octets: int) -> None:
        """A client's mail of so many octets is no longer in work."""
        for column, amount in zip((*work, MAILS, OCTETS), (1, octets, 1, octets), strict=True):
            self._seat.add(column, -amount)


class Load:
    """One mail in work; `work` are its client's columns in the census."""

    __slots__ = ("_octets", "_pressure", "_work")

    def __init__(self, pressure: Pressure, work: tuple[int, int]) -> None:
        self._pressure: Pressure | None = pressure
        self._work = work
        self._octets = 0

    def grow(self, octets: int) -> bool:
        """It has become larger; False when that is more than there is room for."""
        if self._pressure is None:
            return True
        self._octets += octets
        return self._pressure.grow(self._work[1], octets)

    def end(self) -> None:
        """It is no longer in work; calling twice does no harm."""
        pressure, self._pressure = self._pressure, None
        if pressure is not None:
            pressure.end(self._work, self._octets)

    def __del__(self) -> None:
        self.end()
