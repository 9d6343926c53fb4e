"""The shelf: which filters there are, ours and third parties'.

`use = "spf"` finds `millrace/filters/spf.py`; another package's filter is found by its
entry point in the group `millrace.filters`.  A filter is the one class of its module
that has a method `run`.

Fails: `find` raises LookupError for an unknown name, ValueError for a broken module.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import pkgutil
from types import ModuleType

from millrace.engine.pipeline.contract import contract

GROUP = "millrace.filters"


@functools.cache
def names() -> tuple[str, ...]:
    """Every filter that `use` may name."""
    return tuple(sorted({*_ours(), *_theirs()}))


@functools.cache
def find(name: str) -> type:
    """The class of a filter."""
    if name in _theirs():
        target = _theirs()[name].load()
        return _only_filter(target) if isinstance(target, ModuleType) else _checked(target)
    if name not in _ours():
        raise LookupError(name)
    return _only_filter(importlib.import_module(f"{GROUP}.{name}"))


@functools.cache
def _ours() -> tuple[str, ...]:
    package = importlib.import_module(GROUP)
    return tuple(module.name for module in pkgutil.iter_modules(package.__path__))


@functools.cache
def _theirs() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


def _only_filter(module: ModuleType) -> type:
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__
        and not member.__name__.startswith("_")  # what a filter chooses by its options
        and callable(getattr(member, "run", None))
    ]
    if len(found) != 1:
        raise ValueError(f"{module.__name__} must hold one class with a method run()")
    return _checked(found[0])


def _checked(cls: object) -> type:
    if not isinstance(cls, type):
        raise ValueError(f"{cls!r} is no filter class")
    try:
        contract(cls)
    except ValueError as error:
        raise ValueError(f"{cls.__module__}.{cls.__name__}: {error}") from None
    return cls
