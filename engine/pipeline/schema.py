"""JSON Schemas of policy, overlay and pipeline files, for editors.

By them an editor completes and checks.  Draft 2020-12, made from the tables and option
classes that the loaders themselves use.  A schema knows shapes and choices; what a condition
may name is said by `millrace check`.

Fails: a filter of the shelf that cannot be read is left out; nothing else.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from millrace.engine.mail.verdict import ACTIONS
from millrace.engine.options import OCTETS, SECONDS, Octets, Option, Seconds, options_of
from millrace.engine.pipeline import shelf
from millrace.engine.pipeline.spec import ON_ERROR
from millrace.engine.policy.keys import FILE_KEYS, RULE_KEYS, WEIGHT_KEYS, Key, KeyType
from millrace.engine.policy.overlay import WHO_KEYS

DRAFT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def _amount(units: Mapping[str, float]) -> Schema:
    return {"type": "string", "pattern": rf"^\s*\d{{1,15}}(\.\d+)?\s*({'|'.join(units)})\s*$"}


_CONDITION: Schema = {"type": "string", "minLength": 1, "maxLength": 4096}
_TIME, _SIZE = _amount(SECONDS), _amount(OCTETS)
_TYPES: dict[KeyType, Schema] = {
    "text": {"type": "string"},
    "condition": _CONDITION,
    "number": {"type": ["number", "string"]},
    "truth": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "action": {"enum": list(ACTIONS)},
    "table": {"type": "object", "additionalProperties": {"type": "string"}},
}
_SIMPLE: dict[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Seconds: _TIME,
    Octets: _SIZE,
    Path: {"type": "string", "minLength": 1},
}
_OWN: dict[str, Schema] = {
    "use": {"description": "which filter"},
    "name": {"type": "string", "minLength": 1, "description": "the word for its facts"},
    "when": {**_CONDITION, "description": "otherwise it is skipped"},
    "timeout": {**_TIME, "description": "for one run"},
    "on_error": {"enum": list(ON_ERROR), "description": "what becomes of mail when it fails"},
}


def policy() -> Schema:
    """The schema of `policies/NAME.toml`."""
    properties = {
        "title": _key(FILE_KEYS["title"]),
        "weight": {"type": "array", "items": _table(WEIGHT_KEYS)},
        "rule": {"type": "array", "items": _rule()},
    }
    return _file("A policy of Millrace", properties)


def overlay() -> Schema:
    """The schema of `policies/overlays/NAME.toml`."""
    texts: Schema = {"type": "string", "minLength": 1}
    some = {"anyOf": [texts, {"type": "array", "items": texts, "minItems": 1}]}
    who = {
        "type": "object",
        "properties": dict.fromkeys(WHO_KEYS, some),
        "additionalProperties": False,
        "minProperties": 1,
    }
    properties = {
        "title": _key(FILE_KEYS["title"]),
        "policy": {**texts, "description": "whose rules"},
        "for": {
            "anyOf": [who, {"type": "array", "items": who, "minItems": 1}],
            "description": "which mail",
        },
        "drop": {**some, "description": "rules that do not count"},
        "rule": {"type": "array", "items": _rule()},
    }
    return {**_file("An overlay of a policy of Millrace", properties), "required": ["for"]}


def _rule() -> Schema:
    rule = _table(RULE_KEYS)
    rule["properties"]["reply"]["pattern"] = r"^\s*[45]\d\d[ -]"
    rule["properties"]["name"]["minLength"] = 1
    stopping = {"properties": {"stop": {"const": True}}}
    return {**rule, "if": stopping, "then": {"required": ["then"]}}


def pipeline() -> Schema:
    """The schema of `pipelines/NAME.toml`, with the options of every filter of the shelf."""
    filters = {name: _filter(name) for name in _usable()}
    chosen = [
        {"if": {"properties": {"use": {"const": name}}, "required": ["use"]}, "then": schema}
        for name, schema in filters.items()
    ]
    item = {
        "type": "object",
        "required": ["use"],
        "properties": {"use": {"enum": list(filters)}},
        "allOf": chosen,
    }
    properties = {
        "title": {"type": "string", "description": "what the pipeline is called"},
        "policy": {"type": "string", "minLength": 1, "description": "the policy that judges"},
        "deadline": {**_TIME, "description": "of work for one mail"},
        "filter": {"type": "array", "items": item},
    }
    return _file("A pipeline of Millrace", properties)


SCHEMAS = {"policy": policy, "overlay": overlay, "pipeline": pipeline}


def _file(title: str, properties: Schema) -> Schema:
    return {
        "$schema": DRAFT,
        "title": title,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _table(keys: Mapping[str, Key]) -> Schema:
    return {
        "type": "object",
        "properties": {name: _key(key) for name, key in keys.items()},
        "required": [name for name, key in keys.items() if key.required],
        "additionalProperties": False,
    }


def _key(key: Key) -> Schema:
    return {**_TYPES[key.type], "description": key.help}


def _usable() -> list[str]:
    found = []
    for name in shelf.names():
        try:
            shelf.find(name)
        except (ValueError, ImportError):
            continue
        found.append(name)
    return found


def _filter(name: str) -> Schema:
    options = options_of(shelf.find(name))
    return {
        "properties": {**_OWN, **{option.name: _option(option) for option in options}},
        "required": [option.name for option in options if option.required],
        "additionalProperties": False,
    }


def _option(option: Option) -> Schema:
    schema = dict(_of(option.type))
    return {**schema, "description": option.help} if option.help else schema


def _of(hint: Any) -> Schema:  # noqa: ANN401 - an annotation, of any kind
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _of(args[0])
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(arg) for arg in args if arg is not type(None)]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (tuple, frozenset, list):
        return {"type": "array", "items": _of(args[0])}
    return _SIMPLE.get(hint, {})
