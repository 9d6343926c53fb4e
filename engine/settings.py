"""Settings: what the operator chose, and where each choice came from.

Command line over environment over file over profile over default.  The file is TOML, found
as `./millrace.toml` or `/etc/millrace/millrace.toml`, or named by `--config` or
`MILLRACE_CONFIG`.  A setting `dns.timeout` is `[dns] timeout` in the file and
`MILLRACE_DNS_TIMEOUT` in the environment.  Relative paths count from the file's folder.

Fails: `load` raises `Misconfigured` with every fault; an unknown key is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from millrace.engine import bounds
from millrace.engine.document import Document, Path_, meant, nearest
from millrace.engine.errors import Fault, Misconfigured
from millrace.engine.lists.settings import Lists as Lists
from millrace.engine.options import Octets, Option, Seconds, Unfit, build, converted, options_of
from millrace.engine.state.settings import State as State
from millrace.engine.store.history import HistorySettings

PLACES = (Path("millrace.toml"), Path("/etc/millrace/millrace.toml"))
Profile = Literal["development", "production"]


@dataclass(frozen=True, slots=True)
class Listener:
    """One door.  `deliver` is for SMTP: where taken mail goes."""

    kind: Annotated[Literal["milter", "smtp"], "what is spoken at this door"]
    address: Annotated[str, "inet:PORT@HOST, inet6:PORT@HOST or unix:/path; port 0 is any"]
    pipeline: Annotated[str, "which pipeline judges here"] = "inbound"
    backend: Annotated[
        Literal["native", "purepythonmilter", "libmilter"], "who speaks the milter protocol"
    ] = "native"
    mode: Annotated[str, "a Unix socket's permissions, octal"] = "0660"
    group: Annotated[str, "a Unix socket's group"] = ""
    deliver: Annotated[str, "smtp:ADDRESS, lmtp:ADDRESS or maildir:PATH"] = ""
    hostname: Annotated[str, "how the server names itself, by default this host"] = ""
    tls_certificate: Annotated[Path | None, "PEM chain, for STARTTLS"] = None
    tls_key: Annotated[Path | None, "PEM key, for STARTTLS"] = None
    trusted: Annotated[tuple[str, ...], "networks that may use XFORWARD and XCLIENT"] = ()


@dataclass(frozen=True, slots=True)
class Http:
    """The loopback listener for metrics and health."""

    address: Annotated[str, 'where, or "" for none'] = "inet:9980@127.0.0.1"


@dataclass(frozen=True, slots=True)
class Dns:
    """Look-ups."""

    servers: Annotated[
        tuple[str, ...], "address, address:port or [v6]:port; none: those of this host"
    ] = ()
    timeout: Annotated[Seconds, "for one try; unset: as /etc/resolv.conf says, or 2s"] = Seconds(
        2.0
    )
    tries: Annotated[int, "how often a server is asked; unset: as /etc/resolv.conf says, or 2"] = 2
    trusted: Annotated[bool, "believe the servers' DNSSEC bit (AD) though none is on loopback"] = (
        False
    )
    zone: Annotated[Path | None, "answer all from this file, and ask nobody"] = None
    budget: Annotated[int, "questions that one mail may ask"] = 200
    cache_entries: Annotated[int, "answers that are kept"] = 50_000
    cache_size: Annotated[Octets, "about the memory that they may take"] = Octets(32 << 20)


@dataclass(frozen=True, slots=True)
class Archive:
    """Where the archive filter keeps mail."""

    path: Annotated[Path, "its folder"] = Path("archive")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that sign our own mail: DOMAIN/SELECTOR.pem."""

    path: Annotated[Path, "their folder, for the daemon's user alone"] = Path("keys")


@dataclass(frozen=True, slots=True)
class Reports:
    """DMARC aggregate reports: what is noted, and who sends it."""

    path: Annotated[Path, "the file that holds what was seen, sent and received"] = Path(
        "reports.db"
    )
    observe: Annotated[bool, "note each mail whose author's domain asks for reports"] = True
    keep: Annotated[Seconds, "how long what was seen is kept"] = Seconds(30 * 86_400.0)
    organization: Annotated[str, "our name in reports, by default the address's domain"] = ""
    address: Annotated[str, "who sends reports, and reads the answers: dmarc@example.org"] = ""
    contact: Annotated[str, "more ways to reach us, such as a web page"] = ""
    relay: Annotated[str, "the SMTP server that takes reports: HOST:PORT"] = ""


@dataclass(frozen=True, slots=True)
class Reload:
    """When pipelines and policies are read anew."""

    watch: Annotated[bool, "reload by itself when their files have changed"] = False


@dataclass(frozen=True, slots=True)
class Models:
    """Where trained models stand; the shipped one is always there."""

    path: Annotated[Path, "the registry's folder"] = Path("models")


@dataclass(frozen=True, slots=True)
class Scanner:
    """What to do about clamd."""

    when_absent: Annotated[
        Literal["on_error", "skip"], "skip: a scanner that is away stops no mail"
    ] = "on_error"


@dataclass(frozen=True, slots=True)
class Log:
    """What is said, and where."""

    format: Annotated[Literal["auto", "text", "json"], "auto: text on a terminal"] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error"], "the least that is said"] = (
        "info"
    )
    decisions: Annotated[Path | None, "a file of decision records, one JSON a line"] = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds; above them the answer is "come again"."""

    connections: Annotated[int, "at one door at once, in all workers"] = 1000
    per_client: Annotated[int, "of one address at an SMTP door"] = 100
    message: Annotated[Octets, "the largest mail"] = Octets(50 << 20)
    recipients: Annotated[int, "of one mail"] = 1000
    mails: Annotated[int, "in work at once, in all workers"] = 2000
    in_work: Annotated[Octets, "of mails in work, in memory and in spool files"] = Octets(1 << 30)
    spool_above: Annotated[Octets, "larger bodies lie in a file"] = Octets(1 << 20)
    idle: Annotated[Seconds, "how long a peer may be silent"] = Seconds(300.0)
    drain: Annotated[Seconds, "how long a stop waits for mails under way"] = Seconds(30.0)
    hung: Annotated[Seconds, "a worker that is silent for so long is replaced"] = Seconds(30.0)
    worker_memory: Annotated[Octets, "a worker that takes more is replaced"] = Octets(1 << 30)


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it.  `folder` is what relative paths count from; `origins` says who chose what.

    `snapshot` is the folder of a revision whose files are read in place of those of now.
    """

    profile: Annotated[Profile, "development or production"] = "development"
    workers: Annotated[int | Literal["auto"], 'processes that take mail; "auto": one a core'] = 1
    user: Annotated[str, 'who the daemon becomes once its doors are open; "": nobody else'] = ""
    group: Annotated[str, "and its group, by default the user's"] = ""
    pipelines: Annotated[Path, "the folder of pipelines; the shipped ones are found too"] = Path(
        "pipelines"
    )
    policies: Annotated[Path, "the folder of policies; the shipped ones are found too"] = Path(
        "policies"
    )
    listener: tuple[Listener, ...] = ()
    http: Http = Http()
    dns: Dns = Dns()
    state: State = State()
    archive: Archive = Archive()
    keys: Keys = Keys()
    reports: Reports = Reports()
    lists: Lists = Lists()
    history: HistorySettings = HistorySettings()
    reload: Reload = Reload()
    models: Models = Models()
    scanner: Scanner = Scanner()
    log: Log = Log()
    limits: Limits = Limits()
    folder: Path = field(default=Path(), init=True)
    source: str = ""
    snapshot: Path | None = None
    origins: Mapping[str, str] = field(default_factory=dict)

    def at(self, path: Path) -> Path:
        """A path as the process sees it."""
        return self.folder / path


_SECTIONS = (
    *("http", "dns", "state", "archive", "keys", "reports"),
    *("lists", "history", "reload", "models", "scanner", "log", "limits"),
)
SECTIONS: dict[str, type] = {
    entry.name: type(getattr(Settings(), entry.name))
    for entry in fields(Settings)
    if entry.name in _SECTIONS
}
_OWN_NAMES = ("profile", "workers", "user", "group", "pipelines", "policies")
_OWN = {o.name: o for o in options_of(Settings) if o.name in _OWN_NAMES}
PROFILES: dict[str, dict[str, Any]] = {
    "production": {"workers": "auto"},
    "development": {"scanner.when_absent": "skip", "log.level": "info"},
}


def all_options() -> dict[str, Option]:
    """Every setting by its dotted name, listeners aside."""
    found = dict(_OWN)
    for name, cls in SECTIONS.items():
        found |= {f"{name}.{option.name}": option for option in options_of(cls)}
    return found


def discover(environment: Mapping[str, str]) -> Path | None:
    """The file that is used when none is named."""
    if named := environment.get("MILLRACE_CONFIG"):
        return Path(named)
    return next((path for path in PLACES if path.is_file()), None)


def load(
    path: Path | None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from a file (None: from defaults), the environment and the command line."""
    document = Document.load(path) if path is not None else Document("", "")
    return _Loader(document, environment or {}, overrides or {}).settings(path)


class _Loader:
    def __init__(
        self, document: Document, environment: Mapping[str, str], overrides: Mapping[str, str]
    ) -> None:
        self.document = document
        self.environment = environment
        self.overrides = overrides
        self.faults: list[Fault] = []
        self.origins: dict[str, str] = {}

    def settings(self, path: Path | None) -> Settings:
        self._known_keys()
        outer = self._outer()
        profile = str(outer.get("profile", (Settings().profile, ""))[0])
        chosen = self._layers(profile, outer)
        sections: dict[str, Any] = {
            name: self._section(name, cls, chosen) for name, cls in SECTIONS.items()
        }
        own: dict[str, Any] = {n: value for n, (value, _) in chosen.items() if "." not in n}
        listeners = self._listeners()
        if self.faults:
            raise Misconfigured(*self.faults)
        folder = path.parent if path is not None else Path()
        return replace(
            Settings(**sections, **own),
            listener=listeners,
            folder=folder,
            source=str(path or ""),
            origins=self.origins,
        )

    def _known_keys(self) -> None:
        known = (*_OWN, *SECTIONS, "listener")
        for key, value in self.document.data.items():
            if key not in known:
                self._fault((key,), f"unknown key '{key}'", meant(key, known))
            elif key in SECTIONS and not isinstance(value, dict):
                self._fault((key,), f"'{key}' is a table, written [{key}]")
            elif key in SECTIONS:
                self._known_in(key, value)

    def _known_in(self, section: str, table: Mapping[str, Any]) -> None:
        names = [option.name for option in options_of(SECTIONS[section])]
        for key in table:
            if key not in names:
                sentence = f"unknown key '{key}' in [{section}]"
                self._fault((section, key), sentence, meant(key, names))

    def _outer(self) -> dict[str, tuple[Any, str]]:
        """What environment and command line say, converted, with its origin."""
        options = all_options()
        variables = {_variable(name): name for name in options}
        found: dict[str, tuple[Any, str]] = {}
        for variable, text in self.environment.items():
            if not variable.startswith("MILLRACE_") or variable in ("MILLRACE_CONFIG",):
                continue
            name = variables.get(variable)
            if name is None:
                self._unknown_variable(variable, variables)
                continue
            self._take(found, name, options[name], text, f"environment {variable}")
        for name, text in self.overrides.items():
            if name not in options:
                hint = meant(name, options)
                self.faults.append(Fault(f"--set {name}: there is no such setting", hint))
                continue
            self._take(found, name, options[name], text, "command line")
        return found

    def _unknown_variable(self, variable: str, variables: Mapping[str, str]) -> None:
        near = nearest(variable, variables)
        hint = f"did you mean {near}?" if near else "`millrace config show` lists what there is."
        self.faults.append(Fault(f"environment: {variable} sets nothing", hint))

    def _take(
        self, found: dict[str, tuple[Any, str]], name: str, option: Option, text: str, origin: str
    ) -> None:
        try:
            value = converted(_from_text(text, option.type), option.type)
            found[name] = (_fitting(name, value), origin)
        except Unfit as unfit:
            self.faults.append(Fault(f"{origin}: {name} {unfit}"))

    def _layers(
        self, profile: str, outer: dict[str, tuple[Any, str]]
    ) -> dict[str, tuple[Any, str]]:
        """The highest layer's value of each setting that anybody set."""
        chosen: dict[str, tuple[Any, str]] = {}
        in_file = dict(self._file_values())
        if "profile" in in_file and "profile" not in outer:
            profile = str(in_file["profile"][0])
        for name, value in PROFILES.get(profile, {}).items():
            chosen[name] = (value, f"profile {profile}")
        chosen |= in_file
        chosen |= outer
        for name in all_options():
            self.origins[name] = chosen[name][1] if name in chosen else "default"
        return chosen

    def _file_values(self) -> Iterator[tuple[str, tuple[Any, str]]]:
        for name, option in all_options().items():
            path = tuple(name.split("."))
            value: Any = self.document.data
            for part in path:
                value = value.get(part) if isinstance(value, dict) else None
            if value is None:
                continue
            try:
                place = self.document.place(path)
                yield name, (_fitting(name, converted(value, option.type)), str(place))
            except Unfit as unfit:
                self._fault(path, f"{name}: {unfit}")

    def _section(self, name: str, cls: type, chosen: Mapping[str, tuple[Any, str]]) -> object:
        prefix = name + "."
        values = {key[len(prefix) :]: v for key, (v, _) in chosen.items() if key.startswith(prefix)}
        return cls(**values)

    def _listeners(self) -> tuple[Listener, ...]:
        tables = self.document.data.get("listener", [])
        if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
            self._fault(("listener",), "'listener' is written [[listener]]")
            return ()
        made = []
        for at, table in enumerate(tables):
            try:
                made.append(build(Listener, table, self.document, ("listener", at)))
            except Misconfigured as error:
                self.faults += error.faults
        return tuple(made)

    def _fault(self, path: Path_, sentence: str, hint: str = "") -> None:
        self.faults.append(self.document.fault(path, sentence, hint))


def _fitting(name: str, value: object) -> object:
    if words := bounds.trouble(name, value):
        raise Unfit(words)
    return value


def _variable(name: str) -> str:
    return "MILLRACE_" + name.replace(".", "_").upper()


def _from_text(text: str, hint: Any) -> object:  # noqa: ANN401 - a type, of any kind
    """What a file would have held, from the text of a variable or an option."""
    if get_origin(hint) in (tuple, frozenset):
        return [part.strip() for part in text.split(",") if part.strip()]
    if hint is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(
            text.lower(), text
        )
    if (hint is int or int in get_args(hint)) and text.lstrip("-").isdigit():
        return int(text)
    return text
