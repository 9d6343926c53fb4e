"""Putting a file in order: keys and columns move, comments and meaning do not."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.cli.policy.fmt import ORDERS
from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.mail.session import Peer
from millrace.engine.mail.stage import Stage
from millrace.engine.policy import rules
from millrace.engine.policy.kinds import Kind
from millrace.engine.policy.layout import arranged
from millrace.engine.policy.rules import Policy, Word

ROOT = Path(__file__).resolve().parents[3]
WORDS = {"peer": Word(Kind("record", record=Peer), Stage.CONNECT)}


def fmt(text: str) -> str:
    return arranged(text, "law.toml", ORDERS)


def test_keys_have_one_order_and_one_column_and_comments_go_with_them():
    text = """# What this is.
# More of it.

title="Law"   # of us
[[rule]]
then = "tag"          # mark
# because
why="x"

when    =     "peer"  # any
name="r"
# the end of r


# about w
[[weight]]
add = 1
name = "w" """
    assert (
        fmt(text)
        == """# What this is.
# More of it.

title = "Law" # of us

[[rule]]
name = "r"
when = "peer"         # any
then = "tag"          # mark
# because
why  = "x"
# the end of r

# about w
[[weight]]
name = "w"
add  = 1
""".replace('"Law" #', '"Law"  #')
    )


def test_values_of_many_lines_stay_as_they_are():
    text = """[[rule]]
then = "tag"
when = '''
  peer   # known
  and peer.port > 5
'''
name = "r"
list = [
    "a",   # one
    "b",
]
"""
    found = fmt(text)
    assert found.index("name") < found.index("when") < found.index("then") < found.index("list")
    assert "'''\n  peer   # known\n  and peer.port > 5\n'''\n" in found
    assert '[\n    "a",   # one\n    "b",\n]\n' in found


def test_options_of_a_filter_stand_between_its_own_keys():
    text = '[[filter]]\non_error = "defer"\nsocket = "/x"\nuse = "virus"\n'
    assert fmt(text) == '[[filter]]\nuse      = "virus"\nsocket   = "/x"\non_error = "defer"\n'


def test_commented_keys_stay_below_their_table():
    text = '[[rule]]\nname = "r"\n# when = "x"\n# then = "y"\n\n[[rule]]\nname = "s"\n'
    assert fmt(text) == text


def test_windows_line_ends_become_ours():
    assert fmt('[[rule]]\r\nname = "r"\r\n') == '[[rule]]\nname = "r"\n'


@pytest.mark.parametrize("path", sorted((ROOT / "policies").glob("*.toml")), ids=lambda p: p.name)
def test_shipped_policies_are_in_order(path):
    text = path.read_text("utf-8")
    assert fmt(text) == text


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("*.toml")), ids=lambda p: p.name)
def test_shipped_pipelines_are_in_order(path):
    text = path.read_text("utf-8")
    assert fmt(text) == text


@pytest.mark.parametrize(
    "text",
    ["a = ", 'x = """a\n[[b]]"""\n"""', "a = [\n1,\n] ; b"],
)
def test_what_is_no_toml_is_refused_with_its_place(text):
    with pytest.raises(Misconfigured) as caught:
        fmt(text)
    assert caught.value.faults[0].place.file == "law.toml"


@pytest.mark.parametrize(
    "text",
    [
        '[[rule]]\nwhy = ["""\n]\nname = 1 """]\nxyz = "b"\n',
        "[[rule]]\nwhy = ['''\n]''', [1, # ]\n']', 2]]\nxyz = 'b'\n",
        'why = """a\nname = "b\\"""" # c\nxyz = "b"\n',
        '["a]b"]\nx = 1\n\n[c."#d"]\ny = 2\n\n[ \'q.r\' . s ] # e\nz = 3\n',
    ],
)
def test_bracket_or_quote_inside_of_a_text_ends_nothing(text):
    assert fmt(text) == text


def test_file_that_cannot_be_kept_whole_is_refused():
    with pytest.raises(Misconfigured) as caught:
        fmt("x = nan\n")  # equals nothing, so that it is the same cannot be shown
    assert caught.value.faults[0].sentence == (
        "cannot be put in order without a change of what it says"
    )


# --- the property: whatever is written, it means the same afterwards

BLANK = st.sampled_from(["", "\n", "\n\n"])
NOTE = st.sampled_from(["", "# x\n", "# a = 1\n", '# "\n', "#\n", "# [[rule]]\n"])
BEHIND = st.sampled_from(["", "  # y", "# z", "   # \"q\" 'w'"])
EQUALS = st.sampled_from(["=", " = ", "   =  "])
WHENS = ["'peer'", '"peer.rdns == \'#\'"', "'''\n  peer # c\n  and not peer.rdns'''",
         '"""\npeer.port > 5 \\\n  and peer"""', "\"peer.rdns in ['a', 'b']\""]  # fmt: skip
RULE = {
    "when": st.sampled_from(WHENS),
    "then": st.sampled_from(['"tag"', "'pass'", '"quarantine"']),
    "why": st.sampled_from(['"a # b"', "'c'", '"""\nd\n\n"""']),
    "add_header": st.sampled_from(['{ X-A = "b" }', "{ X-B = '#', X-C = \"{peer.ip}\" }"]),
    "expires": st.just("2027-01-31"),
    "stop": st.just("true"),
    "owner": st.sampled_from(['"ö"', "'#'"]),
}
WEIGHT = {
    "add": st.sampled_from(["1", "-0.5", '"2 * peer.port"']),
    "when": st.sampled_from(WHENS),
    "note": st.sampled_from(['"n"', "'''\n[[rule]]\n# no\n'''"]),
}
NEEDED = {"rule": ("when", "then"), "weight": ("add",)}


@st.composite
def tables(draw: st.DrawFn) -> str:
    found = [draw(NOTE), draw(BLANK), draw(st.sampled_from(["", 'title = "T"\n']))]
    for at in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["rule", "weight"]))
        keys = RULE if kind == "rule" else WEIGHT
        optional = draw(st.sets(st.sampled_from(sorted(keys.keys() - set(NEEDED[kind])))))
        lines = [("name", f'"n{at}"')]
        lines += [(key, draw(keys[key])) for key in (*NEEDED[kind], *sorted(optional))]
        found += [draw(BLANK), draw(NOTE), draw(BLANK), f"[[{kind}]]{draw(BEHIND)}\n"]
        for key, value in draw(st.permutations(lines)):
            behind = draw(BEHIND) if "\n" not in value else ""
            found += [draw(BLANK), draw(NOTE), f"{key}{draw(EQUALS)}{value}{behind}\n"]
    return "".join([*found, draw(BLANK), draw(NOTE)])


def meaning(policy: Policy) -> list[object]:
    """All that a policy says, without the places where it says it."""
    weights = [
        (w.name, w.when and w.when.text, w.add.text, w.why, w.stage, w.live, w.note, w.expires)
        for w in policy.weights
    ]
    told = [
        (r.name, r.when.text, r.then, r.why, r.stage, r.recipient, r.live, r.stop, r.owner,
         r.expires, tuple((name, text.text) for name, text in r.headers))
        for r in policy.rules
    ]  # fmt: skip
    return [policy.title, weights, told]


@given(tables())
def test_file_in_order_loads_to_the_same_policy_with_the_same_comments(text):
    found = fmt(text)
    before, after = (rules.load(Document(t, "law.toml"), "law", WORDS) for t in (text, found))
    assert meaning(after) == meaning(before)
    assert fmt(found) == found
    assert sorted(found.split()) == sorted(fmt(text).split())
    comments = [line.strip() for line in text.split("\n") if line.startswith("#")]
    assert all(found.count(comment) >= comments.count(comment) for comment in comments)


@given(st.text(st.sampled_from("ab[]=\"'#\n {},.1\\"), max_size=80))
def test_any_toml_keeps_its_data_or_is_refused(text):
    try:
        found = fmt(text)
    except Misconfigured:
        return
    assert tomllib.loads(found) == tomllib.loads(text)
