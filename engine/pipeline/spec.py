"""A pipeline file: which filters, with which options; strict, not yet wired.

Keys of the file: `title`, `policy`, `deadline`, `[[filter]]`.  Keys of every filter:
`use`, `name` (by default the same), `when`, `timeout`, `on_error`; all others are the
fields of the filter's class.

Fails: `load` raises `Misconfigured` with every fault of the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from millrace.engine.document import Document, Path_, meant
from millrace.engine.errors import Fault, Misconfigured, Place
from millrace.engine.mail.edits import Edited
from millrace.engine.mail.verdict import ACTIONS, Action
from millrace.engine.options import Unfit, build, seconds
from millrace.engine.pipeline import shelf
from millrace.engine.pipeline.contract import Contract, chosen, contract

FILE_KEYS = ("title", "policy", "deadline", "filter")
OWN_KEYS = ("use", "name", "when", "timeout", "on_error")
TIMEOUT = 10.0  # seconds for one run of a filter, where the file says nothing
DEADLINE = 20.0  # seconds of work for one mail; Postfix's milter_content_timeout is 300 s
ON_ERROR = ("skip", "tag", "quarantine", "defer", "reject")


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """One `[[filter]]` as written; `on_error` is None for "skip"."""

    name: str
    filter: Any
    contract: Contract
    when: str | None
    timeout: float
    on_error: Action | None
    path: Path_
    place: Place


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """The whole file."""

    name: str
    title: str
    policy: str
    deadline: float
    filters: tuple[FilterSpec, ...]
    document: Document


def load(document: Document, name: str, find: Callable[[str], type] = shelf.find) -> PipelineSpec:
    """Read a pipeline file; `find` gives the class of a filter by its name."""
    return _Loader(document, find).pipeline(name)


class _Loader:
    def __init__(self, document: Document, find: Callable[[str], type]) -> None:
        self.document, self.find = document, find
        self.faults: list[Fault] = []

    def pipeline(self, name: str) -> PipelineSpec:
        data = self.document.data
        self._only((), data, FILE_KEYS)
        tables = data.get("filter", [])
        if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
            self._fault(("filter",), "'filter' is written [[filter]]")
            tables = []
        specs = [self._filter(("filter", at), table) for at, table in enumerate(tables)]
        filters = tuple(spec for spec in specs if spec is not None)
        self._unique(filters)
        deadline = self._seconds(("deadline",), data.get("deadline"), DEADLINE)
        title = self._text(("title",), data.get("title", name), "names the pipeline")
        policy = self._text(("policy",), data.get("policy", "default"), "names a policy")
        if self.faults:
            raise Misconfigured(*self.faults)
        return PipelineSpec(name, title, policy, deadline, filters, self.document)

    def _filter(self, path: Path_, table: dict[str, Any]) -> FilterSpec | None:
        cls = self._class(path, table)
        if cls is None:
            return None
        options = {key: value for key, value in table.items() if key not in OWN_KEYS}
        try:
            made = chosen(build(cls, options, self.document, path))
        except Misconfigured as error:
            self.faults += error.faults
            return None
        running: type = type(made)
        found = contract(running)
        return FilterSpec(
            name=self._text((*path, "name"), table.get("name", table["use"]), "names the filter"),
            filter=made,
            contract=found,
            when=self._when(path, table),
            timeout=self._seconds((*path, "timeout"), table.get("timeout"), TIMEOUT),
            on_error=self._on_error(path, table, found),
            path=path,
            place=self.document.place(path),
        )

    def _class(self, path: Path_, table: dict[str, Any]) -> type | None:
        use = table.get("use")
        if not isinstance(use, str):
            self._fault(path, "'use' is missing here", 'It names a filter: use = "spf".')
            return None
        try:
            return self.find(use)
        except LookupError:
            self._fault((*path, "use"), f"there is no filter '{use}'", meant(use, shelf.names()), 0)
        except (ValueError, ImportError) as error:
            self._fault((*path, "use"), f"filter '{use}' cannot be used: {error}", "", 0)
        return None

    def _when(self, path: Path_, table: dict[str, Any]) -> str | None:
        if "when" not in table:
            return None
        return self._text((*path, "when"), table["when"], "holds a condition")

    def _on_error(self, path: Path_, table: dict[str, Any], found: Contract) -> Action | None:
        # what was promised about taken mail (archive, signature) must not fail open
        late = any(ask.kind is Edited for ask in found.asks)
        word = table.get("on_error", "defer" if late else "skip")
        if word not in ON_ERROR:
            self._fault(
                (*path, "on_error"), f"can never be {word!r}", meant(str(word), ON_ERROR), 0
            )
            return None
        return ACTIONS.get(word)

    def _seconds(self, path: Path_, value: object, default: float) -> float:
        if value is None:
            return default
        try:
            found = seconds(value)
            if found <= 0:
                raise Unfit("must be longer than nothing")
            return found
        except Unfit as unfit:
            self._fault(path, f"{path[-1]}: {unfit}", "", 0)
            return default

    def _text(self, path: Path_, value: object, purpose: str) -> str:
        if isinstance(value, str) and value:
            return value
        self._fault(path, f"is a text in quotes that {purpose}", "", 0)
        return ""

    def _only(self, path: Path_, table: dict[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self._fault((*path, key), f"unknown key '{key}'", meant(key, known))

    def _unique(self, filters: tuple[FilterSpec, ...]) -> None:
        seen: dict[str, FilterSpec] = {}
        for spec in filters:
            if spec.name in seen:
                hint = f"The other stands in line {seen[spec.name].place.line}; give one a name."
                self.faults.append(Fault(f"two filters are called '{spec.name}'", hint, spec.place))
            seen[spec.name] = spec

    def _fault(self, path: Path_, sentence: str, hint: str = "", offset: int | None = None) -> None:
        self.faults.append(self.document.fault(path, sentence, hint, offset=offset))
