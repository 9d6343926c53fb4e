"""The shape of the code: files and functions stay small, heads are true, walls are three."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHELVES = ("engine", "filters", "models", "pipelines", "policies")
FILES = sorted(path for shelf in SHELVES for path in (ROOT / shelf).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
LINES_MAX, FUNCTION_MAX, NESTING_MAX, FILTER_MAX = 400, 50, 3, 150
VAGUE = {"utils", "util", "helpers", "common", "misc", "base", "manager", "types", "constants"}
VERBS = ("get_", "do_", "handle_", "process_")
THEIRS = {"get_command", "get_buffer", "get_credentials"}  # words of click, asyncio and redis
WALLS = {
    "engine/pipeline/run.py",  # one filter's run, sync and async
    "engine/reload.py",  # one reload
    "engine/servers/http.py",  # one connection, for each protocol
    "engine/servers/milter_native.py",
    "engine/servers/milter_lib.py",
    "engine/servers/milter_pure.py",
    "engine/servers/milter_crossing.py",
    "engine/servers/smtp.py",
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def nesting(node: ast.AST, depth: int = 0) -> int:
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        block = isinstance(child, (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.Match))
        chained = isinstance(node, ast.If) and [child] == node.orelse  # elif is no deeper
        deepest = max(deepest, nesting(child, depth + (block and not chained)))
    return deepest


@pytest.mark.parametrize("path", FILES, ids=name)
def test_file_and_its_functions_stay_small(path):
    count = len(path.read_text("utf-8").splitlines())
    assert count <= (FILTER_MAX if path.parent.name == "filters" else LINES_MAX)
    for node in functions(path):
        assert node.end_lineno - node.lineno < FUNCTION_MAX, node.name
        assert nesting(node) <= NESTING_MAX, node.name


@pytest.mark.parametrize("path", FILES, ids=name)
def test_head_of_a_module_says_what_it_is_in_one_line(path):
    head = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert head
    first = head.splitlines()[0]
    assert len(first) <= 80
    assert first[-1] in ".?!:"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_public_class_and_function_has_a_docstring(path):
    for node in ast.parse(path.read_text("utf-8")).body:
        public = isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if public and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


def test_no_file_or_function_has_a_vague_name():
    assert [name(path) for path in FILES if path.stem in VAGUE] == []
    found = [f"{name(p)}:{f.name}" for p in FILES for f in functions(p)
             if f.name.lstrip("_").startswith(VERBS) and f.name not in THEIRS]  # fmt: skip
    assert found == []


def test_catching_everything_stands_only_in_the_walls():
    found = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type else "BaseException"
            if re.search(r"\b(Base)?Exception\b", caught):
                found.add(name(path))
    assert found <= WALLS


def test_no_file_holds_a_note_of_unfinished_work():
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [name(path) for path in FILES if words.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_name_of_a_test_is_a_sentence(path):
    short = [f.name for f in functions(path)
             if f.name.startswith("test_") and f.name.count("_") < 4]  # fmt: skip
    assert short == []
