"""What the names of one condition stand for: facts, sources, and named lists.

Fails: `kind`, `listing` and `refuse_unquoted` raise `Misfit` with the name that was meant.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from millrace.engine.document import meant, nearest
from millrace.engine.policy.kinds import Kind, fields_of
from millrace.engine.policy.listing import Listing, Lists
from millrace.engine.policy.syntax import Parsed

FIELDS_SHOWN = 4
_ELSEWHERE = {  # what other languages call it: what it is called here, where it is known
    "to": ("recipient", "header('To')"),
    "rcpt": ("recipient",),
    "recipients": ("recipient",),
    "envelope": ("sender", "recipient"),
    "mail": ("sender", "message"),
    "mailfrom": ("sender",),
    "mail_from": ("sender",),
    "return_path": ("sender",),
    "author": ("from",),
    "client": ("peer",),
    "remote": ("peer",),
    "ehlo": ("helo",),
    "auth": ("login",),
    "user": ("login",),
    "body": ("message",),
    "list": ("lists.NAME",),
}
SHELF = "lists"  # the word before a named list: `lists.partners`


class Names:
    """Finds names, and notes which were asked for.

    `used` are facts and sources with the character at which each stands first; `asked` are
    named lists.
    """

    def __init__(self, parsed: Parsed, names: Mapping[str, Kind], lists: Lists) -> None:
        self._parsed, self._names, self._lists = parsed, names, lists
        self.used: dict[str, int] = {}
        self.asked: set[str] = set()

    def kind(self, node: ast.Name) -> Kind:
        """What a name stands for."""
        name = self.word(node)
        if self.is_shelf(node):
            raise self._parsed.misfit(node, "'lists' is no list itself", _file("NAME"))
        kind = self._names.get(name)
        if kind is None:
            sentence = f"nothing here is called '{name}'"
            raise self._parsed.misfit(node, sentence, self._meant(name))
        self.used.setdefault(name, self._parsed.offset(node))
        return kind

    def ask(self, node: ast.expr, name: str) -> None:
        """Note a source that a function reads."""
        if name not in self._names:
            shown = self._parsed.shown(node)
            raise self._parsed.misfit(node, f"{shown} reads '{name}', which is not known here")
        self.used.setdefault(name, self._parsed.offset(node))

    def word(self, node: ast.Name) -> str:
        """The name as it was written: `from` is masked for Python's sake."""
        offset = self._parsed.offset(node)
        return self._parsed.text[offset : offset + 4] if node.id == "From" else node.id

    def is_amount(self, node: ast.expr) -> bool:
        """Whether it is a number with its unit."""
        return isinstance(node, ast.Name) and self._parsed.offset(node) in self._parsed.amounts

    def is_shelf(self, node: ast.expr) -> bool:
        """Whether it is the word before a list's name."""
        return isinstance(node, ast.Name) and node.id == SHELF and SHELF not in self._names

    def listing(self, node: ast.Attribute) -> Listing:
        """The named list that is asked."""
        found = self._lists.get(node.attr)
        if found is None:
            hint = meant(node.attr, self._lists) if self._lists else ""
            if nearest(node.attr, self._lists) is None:
                hint = f"{hint}\n{_file(node.attr)}".lstrip()
            raise self._parsed.misfit(node, f"there is no list '{node.attr}'", hint)
        self.asked.add(node.attr)
        return found

    def refuse_unquoted(self, kind: Kind, node: ast.expr) -> None:
        """Refuse a text without its quotes, where a text is compared with one."""
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if not kind.texty or not isinstance(root, ast.Name) or self.is_amount(root):
            return
        known = [*self._names, SHELF]
        if self.word(root) in known or (root is not node and nearest(root.id, known)):
            return
        shown = self._parsed.shown(node)
        if root is node and shown in self._lists:
            hint = f"A list is written {SHELF}.{shown}."
            raise self._parsed.misfit(node, f"nothing here is called '{shown}'", hint)
        if root is not node and self.word(root) in _ELSEWHERE:
            return
        hint = f"Text stands in quotes: '{shown}'."
        if kind.word == "choice" and shown not in kind.choices:
            hint += "\n" + meant(shown, kind.choices)
        raise self._parsed.misfit(node, f"nothing here is called '{shown}'", hint)

    def _meant(self, name: str) -> str:
        if name.lower() in ("true", "false", "yes", "no"):
            return "Write True or False; a field that is true or false needs no ==."
        if elsewhere := self._elsewhere(name.lower()):
            return elsewhere
        if nearest(name, self._names) is None and (whole := self._whole(name)):
            return whole
        hint = meant(name, self._names)
        records = [kind.record for kind in self._names.values() if kind.record]
        if any(name in kind.choices for r in records for kind in fields_of(r).values()):
            return f"Text stands in quotes: '{name}'.\n" + hint
        return hint

    def _elsewhere(self, name: str) -> str:
        """What to write for a word of another language, as far as this place knows it."""
        meant_here = [
            word
            for word in _ELSEWHERE.get(name, ())
            if word in self._names or not word.isidentifier()
        ]
        return f"Write {', or '.join(meant_here)}." if meant_here else ""

    def _whole(self, field: str) -> str:
        """What to write for the bare name of a field: `headers.subject`; "" where it is none."""
        has = [
            f"{name}.{field}"
            for name, kind in self._names.items()
            if kind.record is not None and field in fields_of(kind.record)
        ]
        return f"Write {', or '.join(has)}." if 0 < len(has) <= FIELDS_SHOWN else ""


def _file(name: str) -> str:
    kinds = ".domains, or .addresses .networks .patterns .map"
    return f"A list is a file beside the policies: lists/{name}{kinds}."
