"""A picture as SVG: filters by stage at the left, rules at the right.

Colours say what a rule does; the same is written in words.  Text is measured by a guess that
is generous for the fonts that it asks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from millrace.engine.cli.drawing.layout import Row, Spot, edges, rows
from millrace.engine.cli.drawing.picture import Filter, Picture, Ruling
from millrace.engine.cli.xmltext import writable
from millrace.engine.mail.stage import Stage

MARGIN, LABEL, PAD, DROP = 24.0, 92.0, 18.0, 38.0
LINE, LETTER, SMALL = 17.0, 8.6, 6.9  # heights and widths of text, in pixels
WHEN_MAX = 68
FONT = "DejaVu Sans, Verdana, Geneva, sans-serif"
_COLOURS = {
    "pass": ("#e6f4ea", "#2e7d32"),
    "tag": ("#fff8e1", "#b08000"),
    "quarantine": ("#fdebd9", "#c25e00"),
    "defer": ("#e8eaf6", "#3f51b5"),
    "reject": ("#fde8e8", "#b71c1c"),
    "discard": ("#eeeeee", "#424242"),
}
_STYLE = f"""text {{ font: 12px {FONT}; fill: #222 }}
.title {{ font-size: 15px; font-weight: bold }} .name {{ font-size: 14px; font-weight: bold }}
.stage {{ font-size: 13px; font-weight: bold; fill: #555 }} .small {{ font-size: 11px; fill: #555 }}
.edge {{ fill: none; stroke: #78909c; stroke-width: 1.5 }}"""


def svg(picture: Picture) -> Iterator[str]:
    """The lines of the file."""
    made = rows(picture.filters, _size)
    left = MARGIN + LABEL
    column = left + max((row.right for row in made), default=0.0) + 2 * PAD
    bands = list(_bands(picture, made))
    wide = max([_rule_width(rule) for rule in picture.rules] or [0.0])
    width = max(column + wide + MARGIN, len(picture.title) * 9.6 + 2 * MARGIN)
    bottom = bands[-1][2] + bands[-1][3] if bands else 60.0
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" '
        f'height="{bottom + MARGIN:.0f}" viewBox="0 0 {width:.0f} {bottom + MARGIN:.0f}">'
    )
    yield f"<title>{_text(picture.title)}</title>"
    yield f"<style>{_STYLE}</style>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#78909c"/></marker></defs>'
    )
    yield f'<rect width="{width:.0f}" height="{bottom + MARGIN:.0f}" fill="white"/>'
    yield _words(MARGIN, 34.0, picture.title, "title")
    tops: dict[int, float] = {}
    for at, (stage, rules, top, height) in enumerate(bands):
        yield from _band(stage, rules, (top, height), (column, width), shaded=at % 2 == 0)
        _note_tops(made, stage, top, tops)
    yield from _edges(made, tops, left)
    for at, row in enumerate(made):
        for spot in row.spots:
            if spot.filter is not None:
                yield from _box(spot.filter, spot, left, tops[at])
    yield "</svg>"


Band = tuple[Stage, Sequence[Ruling], float, float]  # with its top and its height


def _bands(picture: Picture, made: list[Row]) -> Iterator[Band]:
    top = 54.0
    for stage, _, rules in picture.stages():
        own = [row.height for row in made if row.stage == stage]
        filters = sum(own) + DROP * max(len(own) - 1, 0)
        laws = sum(_rule_height(rule) + 10 for rule in rules) - (10 if rules else 0)
        height = max(filters, laws) + 2 * PAD
        yield stage, rules, top, height
        top += height


def _note_tops(made: list[Row], stage: Stage, top: float, tops: dict[int, float]) -> None:
    y = top + PAD
    for at, row in enumerate(made):
        if row.stage == stage:
            tops[at] = y
            y += row.height + DROP


def _band(
    stage: Stage,
    rules: Sequence[Ruling],
    place: tuple[float, float],
    across: tuple[float, float],
    *,
    shaded: bool,
) -> Iterator[str]:
    (top, height), (column, width) = place, across
    wide = width - MARGIN - column
    if shaded:
        yield f'<rect y="{top:.0f}" width="{width:.0f}" height="{height:.0f}" fill="#f6f8f9"/>'
    yield _words(MARGIN, top + PAD + 14, stage.name, "stage")
    y = top + PAD
    for rule in rules:
        yield from _ruling(rule, (column, y), wide)
        y += _rule_height(rule) + 10


def _edges(made: list[Row], tops: dict[int, float], left: float) -> Iterator[str]:
    spots = {spot.key: (spot, at) for at, row in enumerate(made) for spot in row.spots}
    for upper, lower in edges(made):
        (above, first), (below, then) = spots[upper], spots[lower]
        x0, x1, y1 = left + above.middle, left + below.middle, tops[then]
        y0 = tops[first] + (above.height or made[first].height)
        bend = (y0 + y1) / 2
        path = f"M{x0:.1f} {y0:.1f}C{x0:.1f} {bend:.1f} {x1:.1f} {bend:.1f} {x1:.1f} {y1:.1f}"
        if below.filter is None:  # straight down beside the boxes of the row
            yield f'<path class="edge" d="{path}V{y1 + made[then].height:.1f}"/>'
        else:
            yield f'<path class="edge" d="{path}" marker-end="url(#tip)"/>'


def _lines(each: Filter) -> list[str]:
    lines = [" ".join(each.ports), *each.notes]
    seen = each.seen.words if each.seen is not None else ()
    return [line for line in [*lines, *seen] if line]


def _size(each: Filter) -> tuple[float, float]:
    lines = _lines(each)
    width = max([len(each.name) * LETTER * 1.1, *(len(line) * SMALL for line in lines)]) + 24
    return max(width, 70.0), 30 + LINE * len(lines)


def _box(each: Filter, spot: Spot, left: float, top: float) -> Iterator[str]:
    x = left + spot.x
    troubled = each.seen is not None and any(
        each.seen.states.get(state) for state in ("failed", "timed-out")
    )
    line = "#b71c1c" if troubled else "#37474f"
    yield (
        f'<rect x="{x:.1f}" y="{top:.1f}" width="{spot.width:.1f}" height="{spot.height:.1f}" '
        f'rx="6" fill="white" stroke="{line}" stroke-width="1.4"/>'
    )
    yield _words(x + 12, top + 20, each.name, "name")
    for at, line in enumerate(_lines(each), 1):
        yield _words(x + 12, top + 20 + LINE * at, line, "small")


def _rule_lines(rule: Ruling) -> tuple[str, str, str]:
    each = ", for each recipient" if rule.recipient else ""
    hits = f" · {rule.hits:,} mails" if rule.hits is not None else ""
    when = rule.when if len(rule.when) <= WHEN_MAX else rule.when[: WHEN_MAX - 1] + "…"
    reads = f"reads {', '.join(rule.reads)}" if rule.reads else ""
    return f"{rule.number}  {rule.name} → {rule.action}{each}{hits}", when, reads


def _rule_height(rule: Ruling) -> float:
    return 28 + LINE * (2 if rule.reads else 1)


def _rule_width(rule: Ruling) -> float:
    head, when, reads = _rule_lines(rule)
    return max(len(head) * LETTER * 1.05, len(when) * SMALL, len(reads) * SMALL) + 28


def _ruling(rule: Ruling, place: tuple[float, float], wide: float) -> Iterator[str]:
    (x, y), (fill, line) = place, _COLOURS[rule.action]
    height = f'height="{_rule_height(rule):.1f}"'
    head, when, reads = _rule_lines(rule)
    yield (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" {height} rx="3" '
        f'fill="{fill}" stroke="{line}"/>'
    )
    yield f'<rect x="{x:.1f}" y="{y:.1f}" width="5" {height} fill="{line}"/>'
    yield _words(x + 14, y + 19, head, "name")
    yield _words(x + 14, y + 19 + LINE, when, "small")
    if reads:
        yield _words(x + 14, y + 19 + 2 * LINE, reads, "small")


def _words(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{_text(text)}</text>'


def _text(text: str) -> str:
    return escape(writable(text))
