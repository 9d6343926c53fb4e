"""A pipeline file is read strictly, and every fault of it is told at once."""

from dataclasses import dataclass
from typing import Annotated

import pytest

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.mail.edits import Edited
from millrace.engine.mail.finding import Fact, Finding
from millrace.engine.mail.session import Peer
from millrace.engine.mail.verdict import Action
from millrace.engine.options import Octets, Seconds
from millrace.engine.pipeline import spec


@dataclass(frozen=True, slots=True)
class Seen(Fact):
    pass


@dataclass(frozen=True, slots=True)
class Look:
    wait: Annotated[Seconds, "how long"] = Seconds(1)
    size: Annotated[Octets, "how much"] = Octets(1)

    def __post_init__(self):
        if self.wait > 100:
            raise ValueError("wait must be short")

    def run(self, peer: Peer) -> Seen:
        return Seen()


class Bare:
    def run(self, peer: Peer) -> Seen:
        return Seen()


class Keep:
    def run(self, edited: Edited) -> Finding:
        return Finding()


def find(name: str) -> type:
    if name == "broken":
        raise ValueError("it must hold one class with a method run()")
    return {"look": Look, "bare": Bare, "keep": Keep}[name]


def loaded(text: str) -> spec.PipelineSpec:
    return spec.load(Document(text, "line.toml"), "line", find)


def faults(text: str) -> list[tuple[str, str]]:
    with pytest.raises(Misconfigured) as caught:
        loaded(text)
    return [(str(fault.place), fault.sentence) for fault in caught.value.faults]


def test_empty_file_has_the_defaults_of_a_pipeline():
    found = loaded("")
    assert (found.title, found.policy, found.deadline) == ("line", "default", 20.0)
    assert found.filters == ()


def test_filter_is_made_with_the_options_of_its_table():
    (found,) = loaded(
        '[[filter]]\nuse = "look"\nname = "first"\nwait = "1m"\nsize = "2KiB"\n'
        'when = "peer"\ntimeout = "500ms"\non_error = "tag"\n'
    ).filters
    assert found.filter == Look(Seconds(60.0), Octets(2048))
    assert (found.name, found.when, found.timeout) == ("first", "peer", 0.5)
    assert found.on_error is Action.TAG


def test_filter_without_fields_needs_no_dataclass():
    assert isinstance(loaded('[[filter]]\nuse = "bare"').filters[0].filter, Bare)


@pytest.mark.parametrize(
    ("line", "action"),
    [('on_error = "skip"', None), ('on_error = "reject"', Action.REJECT), ("", None)],
)
def test_on_error_names_an_action_or_skips(line, action):
    assert loaded(f'[[filter]]\nuse = "look"\n{line}').filters[0].on_error is action


def test_filter_of_taken_mail_defers_unless_told_otherwise():
    assert loaded('[[filter]]\nuse = "keep"').filters[0].on_error is Action.DEFER
    assert loaded('[[filter]]\nuse = "keep"\non_error = "skip"').filters[0].on_error is None


LOOK = '[[filter]]\nuse = "look"\n'


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        ('titel = "x"', "line.toml:1:1", "unknown key 'titel'"),
        (LOOK + 'wiat = "1s"', "line.toml:3:1", "unknown key 'wiat'"),
        ('[[filter]]\n  use = "lok"', "line.toml:2:10", "there is no filter 'lok'"),
        (
            '[[filter]]\nuse = "broken"',
            "line.toml:2:8",
            "filter 'broken' cannot be used: it must hold one class with a method run()",
        ),
        ('[[filter]]\nname = "x"', "line.toml:1:1", "'use' is missing here"),
        ("[[filter]]\nuse = 5", "line.toml:1:1", "'use' is missing here"),
        ('filter = "spf"', "line.toml:1:1", "'filter' is written [[filter]]"),
        ('[filter]\nuse = "look"', "line.toml:1:1", "'filter' is written [[filter]]"),
        (
            LOOK + "wait = 5",
            "line.toml:3:8",
            'wait: wants a time such as "90s", "5m" or "7d", not 5',
        ),
        (
            LOOK + 'wait = "5MiB"',
            "line.toml:3:9",
            'wait: wants a time such as "90s", "5m" or "7d"; '
            "the unit 'MiB' is none of ms s m h d w y",
        ),
        (LOOK + 'wait = "5m"', "line.toml:1:1", "wait must be short"),
        (LOOK + 'on_error = "ignore"', "line.toml:3:13", "can never be 'ignore'"),
        (LOOK + 'on_error = ["tag"]', "line.toml:3:12", "can never be ['tag']"),
        (
            LOOK + "when = true",
            "line.toml:3:8",
            "is a text in quotes that holds a condition",
        ),
        (
            LOOK + 'timeout = "soon"',
            "line.toml:3:12",
            'timeout: wants a time such as "90s", "5m" or "7d", not \'soon\'',
        ),
        (
            "deadline = 20",
            "line.toml:1:12",
            'deadline: wants a time such as "90s", "5m" or "7d", not 20',
        ),
        ('deadline = "0s"', "line.toml:1:13", "deadline: must be longer than nothing"),
        (LOOK + 'timeout = "0s"', "line.toml:3:12", "timeout: must be longer than nothing"),
        (LOOK + LOOK, "line.toml:3:1", "two filters are called 'look'"),
        (LOOK + "name = 5", "line.toml:3:8", "is a text in quotes that names the filter"),
        ("policy = 5", "line.toml:1:10", "is a text in quotes that names a policy"),
    ],
)
def test_each_fault_has_its_place_and_sentence(text, place, sentence):
    assert faults(text) == [(place, sentence)]


def test_unknown_words_are_told_with_the_nearest_right_one():
    with pytest.raises(Misconfigured) as caught:
        loaded(LOOK + 'wiat = "1s"')
    assert caught.value.faults[0].hint == "one of: size wait\ndid you mean 'wait'?"


def test_second_filter_of_a_name_points_to_the_first():
    with pytest.raises(Misconfigured) as caught:
        loaded("\n" + LOOK + LOOK)
    assert caught.value.faults[0].hint == "The other stands in line 2; give one a name."


def test_every_fault_of_a_file_is_told_at_once():
    found = faults('colour = 1\n[[filter]]\nuse = "look"\nwait = 1\nsize = 2\n[[filter]]\n')
    assert [place for place, _ in found] == [
        "line.toml:1:1",
        "line.toml:4:8",
        "line.toml:5:8",
        "line.toml:6:1",
    ]
