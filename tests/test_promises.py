"""store/PROMISES.md promises nothing that no test holds."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "store" / "PROMISES.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
HOUSES = ("presets", "store", "engine", "tui")


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_is_named_exists(file: str, name: str):
    functions = [node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)]
    assert name in functions


def test_every_promise_names_a_test():
    promises = re.split(r"^- ", PAGE.partition("\n## Not promised\n")[0], flags=re.MULTILINE)[1:]
    assert len(promises) > 40
    for promise in promises:
        assert re.search(r"`tests/[\w/]+\.py::test_\w+`", promise), promise


def test_no_house_reads_or_writes_pickles():
    workers = ROOT / "engine" / "workers.py"  # speaks to its own forks through pipes, and opens no file
    assert not re.search(r"open\(|read_bytes|write_bytes|Path", workers.read_text())
    for path in (path for house in HOUSES for path in (ROOT / house).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                pickling = modules & {"pickle", "marshal", "shelve", "joblib", "dill"}
                assert not pickling or path == workers, path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save")}, path
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path
