"""The tests read as a specification: short names, short builders, and nothing but public names of what they test."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LONGEST_NAME = 69
LONGEST_BUILDER = 39
RAW = re.compile(r"(?<!\\)\\[nrtx]|<lambda>")
"""Line breaks, bytes and functions as pytest writes them into an id."""
PATCHES = ("setattr", "delattr", "getattr", "hasattr", "patch")
Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def long_names(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, Function) and node.name.startswith("test_") and len(node.name) > LONGEST_NAME:
            yield node


def long_builders(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, Function) and not node.name.startswith("test_"):
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno + 1 > LONGEST_BUILDER:
                yield node


def imported_tests(tree: ast.Module) -> Iterator[ast.AST]:
    for node, path in imports(tree):
        if any(part.startswith("test_") for part in path):
            yield node


def private_names(tree: ast.Module) -> Iterator[ast.AST]:
    """What is imported, read or patched under a name that begins with one underscore; a test's own class may."""
    for node, path in imports(tree):
        if any(map(is_private, path)):
            yield node
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in PATCHES:
            names = [word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
            if any(is_private(part) for name in names for part in name.split(".")):
                yield node


def imports(tree: ast.Module) -> Iterator[tuple[ast.AST, list[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            start = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            yield from ((node, f"{start}{alias.name}".split(".")) for alias in node.names)


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    """Every file of the tests, parsed."""
    return {path: ast.parse(path.read_text("utf-8")) for path in TESTS.rglob("*.py")}


@pytest.mark.parametrize("rule", [long_names, long_builders, imported_tests, private_names])
def test_every_test_file_keeps_to_the_rules(
    rule: Callable[[ast.Module], Iterator[ast.AST]], trees: dict[Path, ast.Module]
) -> None:
    broken = [
        f"{path.relative_to(TESTS)}:{getattr(node, 'lineno', 0)}" for path, tree in trees.items() for node in rule(tree)
    ]
    assert broken == []


def test_the_ids_of_cases_are_short_and_plain(collected: list[pytest.Item]) -> None:
    cases = [item for item in collected if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    ids = {item.nodeid: item.callspec.id for item in cases}
    odd = [node for node, name in ids.items() if len(name) > LONGEST_NAME or RAW.search(name)]
    assert odd == []


@pytest.mark.parametrize("name", ["alone", "deadlines"])
def test_a_file_of_a_small_row_names_its_mark(collected: list[pytest.Item], name: str) -> None:
    """`.ci/check` looks for the mark in the text of the files; two folders are rows by themselves."""
    files = {item.path for item in collected if item.get_closest_marker(name) is not None}
    named = {file for file in files if f"pytest.mark.{name}" in file.read_text("utf-8")}
    by_folder = {file for file in files if name == "deadlines" and file.parent.name in ("browser", "faults")}
    assert files - named - by_folder == set()


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (long_names, f"def test_{'a' * 65}(): ..."),
        (long_builders, "def build():\n" + "    step()\n" * 39),
        (imported_tests, "from tests.unit.test_engine import Bench"),
        (imported_tests, "from tests.unit import test_engine"),
        (imported_tests, "import tests.unit.test_engine"),
        (private_names, "from drivers.registry import _SOURCES"),
        (private_names, "from drivers import _inside"),
        (private_names, "switch._socket.poll()"),
        (private_names, "monkeypatch.setattr(host, '_read', lambda: '')"),
        (private_names, "monkeypatch.setattr('gating.host._read', lambda: '')"),
    ],
    ids=lambda value: value.__name__ if callable(value) else value.split("\n")[0][:40],
)
def test_what_breaks_a_rule_is_found(rule: Callable[[ast.Module], Iterator[ast.AST]], text: str) -> None:
    assert len(list(rule(ast.parse(text)))) == 1


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (long_names, f"def test_{'a' * 64}(): ..."),
        (long_builders, "def build():\n" + "    step()\n" * 38),
        (imported_tests, "from tests.factories import frame"),
        (private_names, "self._socket.poll()"),
        (private_names, "from __future__ import annotations"),
    ],
    ids=lambda value: value.__name__ if callable(value) else value.split("\n")[0][:40],
)
def test_what_keeps_to_a_rule_passes(rule: Callable[[ast.Module], Iterator[ast.AST]], text: str) -> None:
    assert list(rule(ast.parse(text))) == []
