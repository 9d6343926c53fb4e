"""Pictures of a pipeline: every filter, rule and edge is in each form, and nothing overlaps."""

import itertools
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine import plans
from millrace.engine.cli.drawing import layout
from millrace.engine.cli.drawing.dot import dot
from millrace.engine.cli.drawing.live import Live, Seen
from millrace.engine.cli.drawing.mermaid import mermaid
from millrace.engine.cli.drawing.picture import Filter, Picture, Ruling, picture
from millrace.engine.cli.drawing.svg import svg
from millrace.engine.mail.stage import Stage
from millrace.engine.settings import Settings

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = 'a"<b>&\\ \x01#'


def shown() -> Picture:
    return picture(plans.load_plan(Settings(), "inbound"))


def hostile() -> Picture:
    rule = Ruling(1, HOSTILE, "reject", HOSTILE, Stage.BODY, False, (HOSTILE,))
    return Picture(HOSTILE, (Filter(HOSTILE, Stage.MAIL, (), (), ()),), (rule,))


def texts(lines) -> list[str]:
    root = ElementTree.fromstring("\n".join(lines))
    return [each.text for each in root.iter(f"{SVG}text")]


def test_picture_holds_what_the_plan_wires():
    found = {each.name: each for each in shown().filters}
    assert found["dmarc"].before == ("dkim", "spf")
    assert found["greylist"].notes == ("per recipient",)
    rules = {each.name: each for each in shown().rules}
    assert rules["dmarc"].reads == ("arc", "dmarc")
    assert rules["spam-sure"].reads == ("spf", "dkim", "dmarc", "spam")  # by the weights
    assert rules["greylist"].recipient


def test_rule_that_sleeps_here_is_not_drawn():
    names = [rule.name for rule in picture(plans.load_plan(Settings(), "submission")).rules]
    assert names == ["virus"]


def test_svg_names_every_stage_filter_and_rule():
    told = texts(svg(shown()))
    for name in ("MAIL", "BODY", "SETTLED", "spf", "archive", "scanner", "per recipient"):
        assert name in told
    assert "3  dmarc → reject" in told
    assert "reads arc, dmarc" in told


def test_svg_draws_an_arrow_for_each_edge():
    page = "\n".join(svg(shown()))
    assert page.count("marker-end") == sum(len(each.before) for each in shown().filters)


def test_long_condition_is_cut_with_an_ellipsis():
    assert any(text.endswith("(login …") for text in texts(svg(shown())))


def test_mermaid_has_boxes_hexagons_and_edges():
    lines = list(mermaid(shown()))
    assert '    f0["spf<br/>dns clock"]' in lines
    assert '    r3{{"3 dmarc → reject"}}' in lines
    keys = {each.name: f"f{at}" for at, each in enumerate(shown().filters)}
    assert f"  {keys['dkim']} --> {keys['dmarc']}" in lines
    assert f"  {keys['arc']} -.-> r3" in lines


def test_dot_has_clusters_boxes_and_edges():
    lines = list(dot(shown()))
    assert "  subgraph cluster_BODY {" in lines
    assert '  "dkim" -> "dmarc";' in lines
    assert '  "arc" -> rule3 [style=dotted];' in lines
    assert (lines[0], lines[-1]) == ("digraph millrace {", "}")


def test_hostile_names_break_no_form():
    assert any('a"<b>&\\ ?#' in text for text in texts(svg(hostile())))
    assert "\n".join(dot(hostile())).count('\\"') >= 4
    assert not re.search(r'[^\[{ ]"[^\]}]', "\n".join(mermaid(hostile())).partition("flow")[2])


def test_what_a_daemon_counted_stands_in_the_boxes():
    seen = Seen({"ran": 1200, "timed-out": 3}, 2.4, 1200, [(0.001, 900), (0.005, 1190)])
    live = Live("r", 1234, {"spf": seen}, {"dmarc": 56})
    found = picture(plans.load_plan(Settings(), "inbound"), live)
    told = texts(svg(found))
    for text in ("1,200 runs", "2 ms each", "95% within 5 ms", "3 timed-out"):
        assert text in told
    assert "3  dmarc → reject · 56 mails" in told
    assert "2  virus → reject · 0 mails" in told
    assert any(text.endswith("· 1,234 mails") for text in told)
    assert "56 mails" in "\n".join(mermaid(found))
    assert "56 mails" in "\n".join(dot(found))


@st.composite
def graphs(draw) -> tuple[Filter, ...]:
    count = draw(st.integers(1, 9))
    stages = sorted(draw(st.lists(st.sampled_from(Stage), min_size=count, max_size=count)))
    made = []
    for at, stage in enumerate(stages):
        before = draw(st.sets(st.integers(0, at - 1), max_size=3)) if at else set()
        names = tuple(f"f{each}" for each in sorted(before))
        made.append(Filter(f"f{at}", stage, (), names, ()))
    return tuple(made)


@given(graphs())
def test_boxes_never_overlap_and_edges_only_go_down(filters):
    made = layout.rows(filters, lambda each: (40.0 + 10 * len(each.before), 30.0))
    rows = {spot.key: at for at, row in enumerate(made) for spot in row.spots}
    for row in made:
        ends = sorted((spot.x, spot.x + spot.width) for spot in row.spots)
        assert all(a[1] < b[0] for a, b in itertools.pairwise(ends))
    found = list(layout.edges(made))
    assert all(rows[lower] == rows[upper] + 1 for upper, lower in found)
    assert [row.stage for row in made] == sorted(row.stage for row in made)
    drawn = sum(1 for row in made for spot in row.spots if spot.filter is not None)
    assert drawn == len(filters)


@given(graphs())
def test_svg_of_any_pipeline_is_well_formed(filters):
    ElementTree.fromstring("\n".join(svg(Picture("t", filters, ()))))


def test_pipeline_without_anything_is_a_picture_too():
    ElementTree.fromstring("\n".join(svg(Picture("t", (), ()))))


@pytest.mark.parametrize("action", ["pass", "tag", "quarantine", "defer", "reject", "discard"])
def test_every_action_has_its_colour_and_its_word(action):
    rule = Ruling(1, "r", action, "True", Stage.CONNECT, False, ())
    assert f"1  r → {action}" in texts(svg(Picture("t", (), (rule,))))
