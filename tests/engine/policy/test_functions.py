"""The fixed functions of the condition language."""

from dataclasses import dataclass
from typing import Any

import pytest

from millrace.engine.policy.expr import Misfit, compile_text
from millrace.engine.policy.functions import FUNCTIONS
from millrace.engine.policy.kinds import Kind


@dataclass(frozen=True, slots=True)
class It:
    name: str | None = None
    names: tuple[str, ...] = ()
    count: int = 4


def value(text: str, **fields: Any) -> Any:
    return compile_text(text, {"it": Kind("record", record=It)}).run({"it": It(**fields)})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("example.org", True),
        ("mail.example.org", True),
        ("MAIL.Example.ORG", True),
        ("example.org.", True),
        ("example.net", True),
        ("badexample.org", False),
        ("example.org.evil", False),
        ("", False),
        (None, False),
    ],
)
def test_under_knows_a_domain_and_what_is_below_it(name, expected):
    assert value("under(it.name, 'Example.org.', 'example.net')", name=name) is expected


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        ("192.0.2.7", True),
        ("192.0.3.7", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("", False),
        (None, False),
        ("mail.example.org", False),
        ("192.0.2.7.8", False),
    ],
)
def test_within_knows_networks_of_both_families(ip, expected):
    assert value("within(it.name, '192.0.2.0/24', '2001:db8::/32')", name=ip) is expected


def test_lower_len_min_and_max_compute():
    assert value("lower(it.name)", name="ÄB") == "äb"
    assert value("len(it.name)", name="abc") == 3
    assert value("len(it.names)", names=("a", "b")) == 2
    assert value("min(it.count, 9, 3)") == 3
    assert value("max(it.count, 9, 3)") == 9


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_bound_in_its_number_of_arguments(name):
    function = FUNCTIONS[name]
    for count in (function.least - 1, function.most + 1):
        arguments = ", ".join(["it.name"] * count)
        with pytest.raises(Misfit) as caught:
            value(f"{name}({arguments})")
        assert caught.value.sentence == f"{name} is written {function.usage}"
