"""From TOML to typed fields: each type, each refusal, all faults at once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest

from millrace.engine.document import Document
from millrace.engine.errors import Misconfigured
from millrace.engine.options import Octets, Option, Seconds, Unfit, build, converted, options_of


@dataclass(frozen=True, slots=True)
class Wish:
    needed: Annotated[str, "what is needed"]
    size: Annotated[Octets, "how large"] = Octets(5)
    names: tuple[str, ...] = field(default_factory=lambda: ("a",))
    hidden: int = field(default=1, init=False)
    shared: ClassVar[int] = 1

    def __post_init__(self):
        if self.size > 100:
            raise ValueError("size must be small")


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("90s", Seconds, 90.0),
        ("250ms", Seconds, 0.25),
        (" 1.5 h ", Seconds, 5400.0),
        ("2w", Seconds, 1209600.0),
        ("7y", Seconds, 220903200.0),
        ("25MiB", Octets, 25 << 20),
        ("1.5KB", Octets, 1500),
        ("7B", Octets, 7),
        ("x", str, "x"),
        (True, bool, True),
        (5, int, 5),
        (5, float, 5.0),
        ("x", Literal["x", "y"], "x"),
        (["a", "b"], tuple[str, ...], ("a", "b")),
        (["a", "a"], frozenset[str], frozenset("a")),
        ([1], list[int], [1]),
        (["1s"], tuple[Seconds, ...], (1.0,)),
        ("p/q", Path, Path("p/q")),
        ("p", Path | None, Path("p")),
        (5, str | int, 5),
        ("x", Annotated[str, "help"], "x"),
        ({"a": 1}, Any, {"a": 1}),
    ],
)
def test_value_is_read_as_its_type(value, hint, expected):
    found = converted(value, hint)
    assert found == expected
    assert type(found) is type(expected) or isinstance(found, Path)


TIME = 'wants a time such as "90s", "5m" or "7d"'
SIZE = 'wants a size such as "64KiB" or "25MiB"'


@pytest.mark.parametrize(
    ("value", "hint", "words"),
    [
        (5, Seconds, f"{TIME}, not 5"),
        ("5", Seconds, f"{TIME}, not '5'"),
        ("-5s", Seconds, f"{TIME}, not '-5s'"),
        ("5x", Seconds, f"{TIME}; the unit 'x' is none of ms s m h d w y"),
        ("5M", Octets, f"{SIZE}; the unit 'M' is none of B KB MB GB KiB MiB GiB"),
        ("9" * 400 + "GiB", Octets, f"{SIZE}, not '{'9' * 400}GiB'"),
        (5, Octets, f"{SIZE}, not 5"),
        (5, str, "wants text in quotes, not 5"),
        (1, bool, "wants true or false, not 1"),
        (True, int, "wants a whole number, not True"),
        (1.5, int, "wants a whole number, not 1.5"),
        (True, float, "wants a number, not True"),
        ("z", Literal["x", "y"], "can never be 'z'; one of: x y"),
        (["x"], Literal["x", "y"], "can never be ['x']; one of: x y"),
        ("a", tuple[str, ...], "wants a list such as [\"…\"], not 'a'"),
        ([1], tuple[str, ...], "wants text in quotes, not 1"),
        ("", Path, "wants a path, not ''"),
        (1.5, str | int, "wants a whole number, not 1.5"),
        (1, bytes, "cannot be set from a file (<class 'bytes'>)"),
    ],
)
def test_value_that_does_not_fit_is_told_what_would(value, hint, words):
    with pytest.raises(Unfit) as caught:
        converted(value, hint)
    assert str(caught.value) == words


def test_options_are_the_fields_that_a_file_may_set():
    assert options_of(Wish) == (
        Option("needed", str, "what is needed", options_of(Wish)[0].default, True),
        Option("size", Octets, "how large", 5, False),
        Option("names", tuple[str, ...], "", ("a",), False, computed=True),
    )


def built(text: str) -> Wish:
    document = Document("[wish]\n" + text, "f.toml")
    return build(Wish, document.data["wish"], document, ("wish",))


def test_table_becomes_the_dataclass():
    assert built('needed = "x"\nsize = "7B"') == Wish("x", Octets(7))


def test_all_faults_of_a_table_are_told_at_once():
    with pytest.raises(Misconfigured) as caught:
        built('size = 5\nsise = "7B"\nnames = "x"')
    assert [(str(f.place), f.sentence) for f in caught.value.faults] == [
        ("f.toml:2:8", f"size: {SIZE}, not 5"),
        ("f.toml:3:1", "unknown key 'sise'"),
        ("f.toml:4:10", "names: wants a list such as [\"…\"], not 'x'"),
        ("f.toml:1:1", "'needed' is missing here"),
    ]


def test_the_class_itself_has_the_last_word():
    with pytest.raises(Misconfigured, match="size must be small"):
        built('needed = "x"\nsize = "101B"')


@dataclass(frozen=True)
class Needy:
    per: Annotated[Literal["address", "sender"], "whom it is about"]
    wait: Annotated[Seconds, "how long"]
    paths: tuple[str, ...]
    name: str


def test_key_that_is_missing_is_told_with_what_it_may_be():
    document = Document("[wish]\n", "f.toml")
    with pytest.raises(Misconfigured) as caught:
        build(Needy, {}, document, ("wish",))
    assert [(f.sentence, f.hint) for f in caught.value.faults] == [
        (
            "'per' is missing here",
            'Write per = "address": whom it is about.\none of: address sender',
        ),
        ("'wait' is missing here", 'Write wait = "5m": how long.'),
        ("'paths' is missing here", 'Write paths = ["…"].'),
        ("'name' is missing here", 'Write name = "…".'),
    ]
