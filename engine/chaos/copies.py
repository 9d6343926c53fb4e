"""A private copy of an installation, in its own folder: settings, a pipeline.

The copy reads the operator's policies, keys and models and writes none of them: archive,
decision log, reports and mail lie in its folder, its doors are on loopback, its services
are reached as `Reach` says.  So that a drill ends in seconds, a greylist waits for one,
and a silent worker is replaced after three.

Fails: `Misconfigured` as `plans.load_spec`; OSError when the folder takes no files.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millrace.engine import plans
from millrace.engine.options import Octets, Seconds
from millrace.engine.settings import Settings, all_options

HUNG = "5s"
GREYLIST_WAIT = "1s"
_OWN = ("user", "group", "pipelines", "policies", "state.url", "state.scope", "dns.servers")


@dataclass(frozen=True, slots=True)
class Doors:
    """Ports on loopback."""

    milter: int
    smtp: int
    http: int


@dataclass(frozen=True, slots=True)
class Reach:
    """How services are reached; `sockets` by what the operator's filters call them."""

    state: str
    dns: tuple[str, ...] = ()
    sockets: Mapping[str, str] = field(default_factory=dict)


def write(settings: Settings, pipeline: str, folder: Path, doors: Doors, reach: Reach) -> Path:
    """Write the copy; returns its settings file."""
    data = _chosen(settings)
    own = settings.at(settings.policies).absolute()
    data |= {"policies": str(own)} if own.is_dir() else {}  # else the shipped ones serve, as here
    data |= {
        "listener": [_door("milter", doors.milter), _door("smtp", doors.smtp)],
        "http": {"address": f"inet:{doors.http}@127.0.0.1"},
    }
    _section(data, "state").update(url=reach.state, scope=f"drill-{uuid.uuid4().hex[:12]}")
    _section(data, "dns").update({"servers": list(reach.dns)} if reach.dns else {})
    _section(data, "archive").update(path="archive")
    _section(data, "reports").update(path="reports.db")
    _section(data, "lists").update(index="lists.index")
    _section(data, "history").update(path="history")
    _section(data, "log").update(format="json", decisions="decisions.jsonl")
    _section(data, "limits").update(hung=HUNG)
    (folder / "pipelines").mkdir(parents=True, exist_ok=True)
    wired = _pipeline(settings, pipeline, reach.sockets)
    (folder / "pipelines" / "inbound.toml").write_text(_toml(wired), "utf-8")
    path = folder / "millrace.toml"
    path.write_text(_toml(data), "utf-8")
    return path


def _door(kind: str, port: int) -> dict[str, Any]:
    door: dict[str, Any] = {"kind": kind, "address": f"inet:{port}@127.0.0.1"}
    if kind == "smtp":
        door |= {"deliver": "maildir:Maildir", "hostname": "drill.invalid"}
        door["trusted"] = ["127.0.0.1"]  # mails come as from elsewhere
    return door


def _section(data: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = data.setdefault(name, {})
    return found


def _chosen(settings: Settings) -> dict[str, Any]:
    """What somebody chose, wherever; paths as they are seen from anywhere."""
    data: dict[str, Any] = {}
    for name, option in all_options().items():
        if settings.origins.get(name, "default") == "default" or name in _OWN:
            continue
        section, _, key = name.rpartition(".")
        value = getattr(getattr(settings, section) if section else settings, key)
        if value is not None:
            (_section(data, section) if section else data)[key] = _written(
                settings, value, option.type
            )
    data.setdefault("profile", settings.profile)
    for name in ("keys", "models"):
        own = getattr(settings, name).path
        _section(data, name)["path"] = str(settings.at(own).absolute())
    return data


def _written(settings: Settings, value: Any, kind: Any) -> Any:  # noqa: ANN401 - of any kind
    if isinstance(value, Path):
        return str(settings.at(value).absolute())
    if kind is Seconds:
        return f"{round(value * 1000)}ms"
    if kind is Octets:
        return f"{value}B"
    return list(value) if isinstance(value, tuple | frozenset) else value


def _pipeline(settings: Settings, name: str, sockets: Mapping[str, str]) -> dict[str, Any]:
    spec = plans.load_spec(settings, name)
    data = dict(spec.document.data)
    data["filter"] = [dict(each) for each in data.get("filter", [])]
    for table, read in zip(data["filter"], spec.filters, strict=True):
        where = str(getattr(read.filter, "socket", ""))
        if where in sockets:
            table["socket"] = sockets[where]
        if table.get("use") == "greylist":
            table |= {"wait": GREYLIST_WAIT, "young_wait": GREYLIST_WAIT}
    return data


def _toml(data: Mapping[str, Any]) -> str:
    return "".join(f"{_value(key)} = {_value(value)}\n" for key, value in data.items())


def _value(value: Any) -> str:  # noqa: ANN401 - TOML of any kind
    match value:
        case Mapping():
            return "{" + ", ".join(f"{_value(k)} = {_value(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool() | int() | float():
            return json.dumps(value)
        case _:
            return str(value.isoformat())  # TOML's four kinds of date and time
