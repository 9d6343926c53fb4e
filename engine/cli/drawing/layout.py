"""Where the boxes of a picture stand: rows, one or more for each stage.

A filter stands below those whose facts it waits for.  An edge that passes a row gets a gap
of its own there, so that no line runs behind a box that it has nothing to do with.

All lengths are in pixels of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from millrace.engine.cli.drawing.picture import Filter
from millrace.engine.mail.stage import Stage

GAP = 26.0  # between two boxes of a row
LANE = 14.0  # what an edge needs to pass a row

Size = Callable[[Filter], tuple[float, float]]


@dataclass(slots=True)
class Spot:
    """A box, or (without a filter) a lane through which an edge passes; `x` is its left side."""

    key: str
    filter: Filter | None
    above: tuple[str, ...]
    width: float = LANE
    height: float = 0.0
    x: float = 0.0

    @property
    def middle(self) -> float:
        """Where edges meet it."""
        return self.x + self.width / 2


@dataclass(slots=True)
class Row:
    """What stands side by side."""

    stage: Stage
    spots: list[Spot] = field(default_factory=list)

    @property
    def height(self) -> float:
        """The highest box."""
        return max((spot.height for spot in self.spots), default=0.0)

    @property
    def right(self) -> float:
        """Where the row ends."""
        return max((spot.x + spot.width for spot in self.spots), default=0.0)


def rows(filters: Sequence[Filter], size: Size) -> list[Row]:
    """The rows from the top, all spots placed from x = 0 on."""
    levels = _levels(filters)
    keys = sorted(set(levels.values()))
    made = [Row(Stage(stage)) for stage, _ in keys]
    at = {each.name: keys.index(levels[each.name]) for each in filters}
    for each in filters:
        above = tuple(_descend(made, at, name, each.name) for name in each.before)
        width, height = size(each)
        made[at[each.name]].spots.append(Spot(each.name, each, above, width, height))
    _place(made)
    return made


def _levels(filters: Sequence[Filter]) -> dict[str, tuple[int, int]]:
    """The stage of each filter, and how many of that stage must end before it."""
    known = {each.name: each for each in filters}
    found: dict[str, tuple[int, int]] = {}

    def level(each: Filter) -> tuple[int, int]:
        if each.name not in found:
            same = [known[n] for n in each.before if n in known and known[n].stage == each.stage]
            depth = max((level(other)[1] + 1 for other in same), default=0)
            found[each.name] = (int(each.stage), depth)
        return found[each.name]

    return {each.name: level(each) for each in filters}


def _descend(made: list[Row], at: dict[str, int], name: str, to: str) -> str:
    """Add the lanes of one edge; gives the spot that is right above its end."""
    last = name
    for row in range(at[name] + 1, at[to]):
        key = f"{name} → {to} · {row}"
        made[row].spots.append(Spot(key, None, (last,)))
        last = key
    return last


def _place(made: list[Row]) -> None:
    """From the top: each row in the order of what stands above it, as near below it as can be."""
    middles: dict[str, float] = {}
    for row in made:
        wished = {spot.key: _wish(spot, middles, at) for at, spot in enumerate(row.spots)}
        row.spots.sort(key=lambda spot: wished[spot.key])
        cursor = 0.0
        for spot in row.spots:
            spot.x = max(cursor, wished[spot.key] - spot.width / 2 if spot.above else cursor)
            cursor = spot.x + spot.width + GAP
            middles[spot.key] = spot.middle


def _wish(spot: Spot, middles: dict[str, float], at: int) -> float:
    known = [middles[key] for key in spot.above if key in middles]
    return sum(known) / len(known) if known else at * 150.0


def edges(made: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Pairs of spots, the upper one first."""
    for row in made:
        for spot in row.spots:
            yield from ((above, spot.key) for above in spot.above)
