"""Census: what all workers of a daemon have in hand, in memory they share.

Each worker writes its own row, anybody reads the sums; there is no lock, since no two write
to the same cell.  Bounds that are meant for the whole daemon (connections at a door, mails in
work) hold for all workers together this way, within what two of them begin in the same
moment.  The supervisor clears the row of a worker that died.

The map is anonymous: made before the fork, gone with the last process.
"""

from __future__ import annotations

import mmap
import zlib
from dataclasses import dataclass

ACCEPTS, MAILS, OCTETS, _DOORS = range(4)  # columns; behind the doors' stand the clients'
_CLIENT_CELLS = 4096
_OF_A_CLIENT = 3  # connections, mails and octets
_CELL = 8  # octets


class Census:
    """`rows` workers at most, `doors` listeners; `seat` is one worker's view."""

    def __init__(self, rows: int = 1, doors: int = 0) -> None:
        self.rows, self.doors = rows, doors
        self.width = _DOORS + doors + _OF_A_CLIENT * _CLIENT_CELLS
        self._map = mmap.mmap(-1, rows * self.width * _CELL)
        self.cells = memoryview(self._map).cast("q")

    def seat(self, row: int) -> Seat:
        """The view of the worker that owns a row."""
        return Seat(self, row)

    def clear(self, row: int) -> None:
        """Its worker is gone, and all that it had in hand."""
        begin = row * self.width * _CELL
        self._map[begin : begin + self.width * _CELL] = bytes(self.width * _CELL)

    def row(self, row: int) -> tuple[int, int, tuple[int, ...]]:
        """Mails and octets in work, and connections by door, of one worker."""
        at = row * self.width
        cells = self.cells
        return (
            cells[at + MAILS],
            cells[at + OCTETS],
            tuple(cells[at + _DOORS : at + _DOORS + self.doors]),
        )


@dataclass(frozen=True, slots=True)
class Seat:
    """One worker's row, and the sums of all."""

    census: Census
    row: int

    def add(self, column: int, amount: int) -> None:
        """Count up, or down."""
        self.census.cells[self.row * self.census.width + column] += amount

    def accept(self, *, doors_open: bool) -> None:
        """Say whether this worker takes connections."""
        self.census.cells[self.row * self.census.width + ACCEPTS] = int(doors_open)

    def own(self, column: int) -> int:
        """What this worker has."""
        return self.census.cells[self.row * self.census.width + column]

    def total(self, column: int) -> int:
        """What all workers have."""
        return sum(self._column(column))

    def others(self, column: int) -> int:
        """What the other workers have."""
        return self.total(column) - self.own(column)

    def fewest(self, column: int) -> int:
        """What the worker that has least of it has, of those that accept."""
        pairs = zip(self._column(ACCEPTS), self._column(column), strict=True)
        return min((has for accepts, has in pairs if accepts), default=0)

    def door(self, number: int) -> int:
        """The column of a door's connections."""
        return _DOORS + number

    def client(self, door: int, ip: str) -> int:
        """The column of a client at a door.  Two may share it, which counts them together."""
        return self._cell(f"{door} {ip}")

    def work(self, ip: str) -> tuple[int, int]:
        """The columns of a client's mails in work and of their octets, shared in the same way."""
        mails = self._cell(ip) + _CLIENT_CELLS
        return mails, mails + _CLIENT_CELLS

    def _cell(self, name: str) -> int:
        key = zlib.crc32(name.encode("utf-8", "replace"), self.census.width)
        return _DOORS + self.census.doors + key % _CLIENT_CELLS

    def _column(self, column: int) -> memoryview:
        return self.census.cells[column :: self.census.width]
