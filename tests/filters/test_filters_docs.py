"""Every filter on the shelf is documented: head, class, fact, and each option."""

import dataclasses
import importlib

import pytest

from millrace.engine.options import options_of
from millrace.engine.pipeline import shelf
from millrace.engine.pipeline.contract import contract


@pytest.mark.parametrize("name", shelf.names())
def test_filter_its_fact_and_its_options_are_documented(name):
    cls = shelf.find(name)
    head = (importlib.import_module(cls.__module__).__doc__ or "").splitlines()[0]
    assert head.split(":")[0].casefold() == name.casefold() or ":" in head
    assert len(head) <= 80
    assert cls.__doc__
    assert not cls.__doc__.startswith(cls.__name__ + "(")
    assert [option.name for option in options_of(cls) if not option.help] == []


@pytest.mark.parametrize("name", shelf.names())
def test_fact_is_a_frozen_documented_dataclass(name):
    fact = contract(shelf.find(name)).gives
    if fact is None:
        return
    assert dataclasses.is_dataclass(fact)
    assert fact.__dataclass_params__.frozen
    assert fact.__doc__
    assert not fact.__doc__.startswith(fact.__name__ + "(")
