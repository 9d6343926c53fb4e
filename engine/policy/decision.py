"""The decision record: everything that explains one verdict.

Written once for each mail, whichever way it ended, as one line of JSON.  The same
shape is what `millrace explain --json` prints.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from millrace.engine.mail.edits import Edit
from millrace.engine.mail.envelope import Recipient, Sender
from millrace.engine.mail.finding import Fact
from millrace.engine.mail.session import Session
from millrace.engine.mail.trace import Run
from millrace.engine.mail.verdict import Because, Verdict
from millrace.engine.policy.judge import Act, Term

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class RecipientDecision:
    """One recipient's own verdict and facts."""

    recipient: Recipient
    verdict: Verdict
    facts: Mapping[str, Fact]
    acts: tuple[Act, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """One mail, judged.  `time` is Unix seconds, `ms` wall milliseconds of our own work."""

    id: str
    time: float
    revision: str
    pipeline: str
    session: Session
    sender: Sender | None
    recipients: tuple[RecipientDecision, ...]
    verdict: Verdict
    total: float
    terms: tuple[Term, ...]
    facts: Mapping[str, Fact]
    edits: tuple[Edit, ...]
    runs: tuple[Run, ...]
    size: int
    ms: float
    acts: tuple[Act, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """The record as plain data; the keys are a contract with outside programs."""
        return {
            "id": self.id,
            "time": _iso(self.time),
            "revision": self.revision,
            "pipeline": self.pipeline,
            **answered(self.verdict),
            "acts": [_act(act) for act in self.acts],
            "score": {"total": self.total, "terms": [_term(term) for term in self.terms]},
            "facts": _facts(self.facts),
            "edits": [_edit(edit) for edit in self.edits],
            "filters": [_run(run) for run in self.runs],
            "session": _session(self.session),
            "from": str(self.sender) if self.sender is not None else None,
            "to": [str(r.recipient) for r in self.recipients],
            "recipients": [_recipient(entry) for entry in self.recipients],
            "size": self.size,
            "ms": round(self.ms, 3),
        }

    def as_json(self) -> bytes:
        """One line, without the line break."""
        return json_line(self.as_data())


def answered(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain data: the action, the reply, and because of what."""
    because = verdict.because or Because("")
    return {
        "action": verdict.action.word,
        "reply": str(verdict.reply) if verdict.reply else "",
        "hold": verdict.hold,
        "because": _because(because),
    }


def _because(because: Because) -> dict[str, Any]:
    return {
        "rule": because.rule,
        "why": because.why,
        "stage": because.stage,
        "place": because.place,
    }


def _act(act: Act) -> dict[str, Any]:
    return {
        **_because(act.because),
        "action": act.action.word,
        "headers": [_edit(header) for header in act.headers],
        "redirect": str(act.redirect) if act.redirect else "",
    }


def _iso(time: float) -> str:
    stamp = datetime.datetime.fromtimestamp(time, datetime.UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_line(data: dict[str, Any]) -> bytes:
    """JSON of plain data; octets that were no UTF-8 are shown as escapes."""
    try:
        return _encoder.encode(data)
    except UnicodeEncodeError:
        return _encoder.encode(_encodable(data))


def _facts(facts: Mapping[str, Fact]) -> dict[str, Any]:
    # a third party's fact may hold what JSON has no word for
    return {
        name: msgspec.to_builtins(fact, str_keys=True, enc_hook=str) for name, fact in facts.items()
    }


def _encodable(data: Any) -> Any:  # noqa: ANN401 - JSON of any kind
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode()
    if isinstance(data, dict):
        return {_encodable(key): _encodable(value) for key, value in data.items()}
    return [_encodable(each) for each in data] if isinstance(data, list) else data


def _term(term: Term) -> dict[str, Any]:
    return {"name": term.name, "add": term.add, "why": term.why}


def _run(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "stage": run.stage,
        "state": run.state,
        "ms": round(run.ms, 3),
        "note": run.note,
    }


def _edit(edit: Edit) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": type(edit).__name__}
    for name in edit.__dataclass_fields__:
        value = getattr(edit, name)
        if isinstance(value, (str, int)):
            data[name] = value
        elif isinstance(value, bytes):
            data[name + "_size"] = len(value)
        elif isinstance(value, tuple):
            data[name] = list(value)
        else:
            data[name] = "" if value is None else str(value)
    return data


def _session(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "listener": session.listener,
        "ip": session.peer.ip,
        "rdns": session.peer.rdns,
        "helo": session.helo.name if session.helo else None,
        "tls": session.tls.version if session.tls else None,
        "login": session.login.user if session.login else None,
    }


def _recipient(entry: RecipientDecision) -> dict[str, Any]:
    return {
        "address": str(entry.recipient),
        "action": entry.verdict.action.word,
        "reply": str(entry.verdict.reply) if entry.verdict.reply else "",
        "rule": entry.verdict.because.rule if entry.verdict.because else "",
        "facts": _facts(entry.facts),
        "acts": [_act(act) for act in entry.acts],
    }
