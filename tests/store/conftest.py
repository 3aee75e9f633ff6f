"""A store of one's own for each test, a run in it, and a way to be somebody without root's powers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from store import editing
from store.writing import Writer

NewRun = Callable[..., str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tombola.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    with Writer(path) as opened:
        yield opened


@pytest.fixture
def new_run(writer: Writer) -> NewRun:
    """Creates a run of that name and gives back its id."""

    def create(name: str = "demo", **spec: Any) -> str:
        whole = {"title": "a title", "seeds": [0, 1], "network": {"name": "conv3"}, "data": {"name": "digits"}, **spec}
        return editing.create_run(
            writer.conn, name=name, preset="p", spec=whole, device="cpu", files="/files", images_planned=100
        )

    return create


@pytest.fixture
def plain_user() -> Iterator[Callable[[Callable[[], object]], str]]:
    """Runs a function in a process that file permissions bind, and gives back what it returned or raised, as text."""

    def run(function: Callable[[], object]) -> str:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                if os.geteuid() == 0:
                    os.setgid(65534)
                    os.setuid(65534)
                said = str(function())
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            os.write(writing, said.encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        return said

    return run  # type: ignore[return-value]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder
        folder.chmod(0o777)
