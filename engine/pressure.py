"""Pressure: how many mails, and how many octets of them, may be in work at once.

A bound on the whole daemon, held by all its workers together (`census`).  What lies in a
spool file counts too: it fills the disk as memory would fill.

Fair between clients: nobody may hold more than what is still free.  One busy client can so
have half of everything, two a third each, and a new one always finds room (Choudhury and
Hahne's dynamic threshold, as switches share their buffers).

Fails: never; `begin` gives None and `grow` False where the answer must be 4.3.2.
"""

from __future__ import annotations

from collections import Counter
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
    """What this worker's mails take, and whether there is room for more."""

    def __init__(self, room: Room, seat: Seat | None = None) -> None:
        self._room = room
        self._seat = seat or Census().seat(0)
        self._mails: Counter[str] = Counter()
        self._octets: Counter[str] = Counter()
        self.refused = 0

    def begin(self, client: str, octets: int = 0) -> Load | None:
        """A client begins a mail of so many octets, as far as it says; None: no room."""
        mails_free = self._room.mails - self._seat.total(MAILS)
        if self._mails[client] >= mails_free or not self._fits(client, octets):
            self.refused += 1
            return None
        self._mails[client] += 1
        self._seat.add(MAILS, 1)
        return Load(self, client)

    def _fits(self, client: str, octets: int) -> bool:
        free = self._room.octets - self._seat.total(OCTETS)
        return self._octets[client] + octets <= free

    def grow(self, client: str, octets: int) -> bool:
        """A client's mail has become larger; False when that is more than there is room for."""
        self._octets[client] += octets
        self._seat.add(OCTETS, octets)
        free = self._room.octets - self._seat.total(OCTETS)
        if self._octets[client] <= free + octets:
            return True
        self.refused += 1
        return False

    def end(self, client: str, octets: int) -> None:
        """A client's mail of so many octets is no longer in work."""
        self._seat.add(MAILS, -1)
        self._seat.add(OCTETS, -octets)
        for counter, amount in ((self._mails, 1), (self._octets, octets)):
            counter[client] -= amount
            if counter[client] <= 0:
                del counter[client]


class Load:
    """One mail in work."""

    __slots__ = ("_client", "_octets", "_pressure")

    def __init__(self, pressure: Pressure, client: str) -> None:
        self._pressure: Pressure | None = pressure
        self._client = client
        self._octets = 0

    def grow(self, octets: int) -> bool:
        """It has become larger; False when that is more than there is room for."""
        if self._pressure is None:
            return True
        self._octets += octets
        return self._pressure.grow(self._client, octets)

    def end(self) -> None:
        """It is no longer in work; calling twice does no harm."""
        pressure, self._pressure = self._pressure, None
        if pressure is not None:
            pressure.end(self._client, self._octets)

    def __del__(self) -> None:
        self.end()
