"""How far Tombola reaches: what it writes is its owner's alone and lies where it belongs; no network is reached for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from engine.data import prepare
from presets.schema import Data
from tests.fuzz.material import tree
from tests.program import TINY, Tombola

ROOT = Path(__file__).parents[2]

WATCHED = """
import os, sys

def watch(event, arguments):
    if event in ("socket.bind", "socket.connect", "socket.getaddrinfo", "socket.sendto"):
        address = arguments[-1] if event != "socket.getaddrinfo" else arguments[0]
        if isinstance(address, (str, bytes)) and event != "socket.getaddrinfo":
            return  # a socket of this machine's file system
        with open(os.environ["TOMBOLA_TEST_REACHED"], "a") as log:
            log.write(f"{event} {arguments} {sys.argv}\\n")

sys.addaudithook(watch)
with open(os.environ["TOMBOLA_TEST_REACHED"] + ".watched", "a") as log:
    log.write(" ".join(sys.argv) + "\\n")
"""
"""Imported by every Python process at its start: writes down whatever would reach a network."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Tombola:
    """A tiny run from start to export under the most open umask there is, every Python process of it watched."""
    place = tmp_path_factory.mktemp("reach")
    home, hook = place / "home", place / "hook"
    for folder in (home, hook):
        folder.mkdir()
    (hook / "sitecustomize.py").write_text(WATCHED)
    tombola = Tombola(home)
    extra = {"PYTHONPATH": f"{hook}{os.pathsep}{ROOT}", "TOMBOLA_TEST_REACHED": str(place / "reached")}
    before = os.umask(0)
    try:
        tombola("run", "digits-demo", *TINY, "--seed", "0", "--name", "tiny", **extra)
        for arguments in (["show", "tiny"], ["export", "tiny", "out/inner"], ["doctor"]):
            tombola(*arguments, code=None, **extra)
        app = "import sys; from tests.fuzz.test_reach import look; look(sys.argv[1])"
        subprocess.run(
            [sys.executable, "-c", app, str(tombola.db)],
            env=tombola.environment | extra,
            cwd=home,
            check=True,
            timeout=120,
        )
    finally:
        os.umask(before)
    return tombola


def look(db: str) -> None:
    """Open the app on a store, look at its run, and leave."""
    import asyncio

    from tui.app.app import TombolaApp

    async def go() -> None:
        async with TombolaApp(Path(db), Path(db).parent).run_test(size=(100, 30)) as pilot:
            await pilot.pause(0.3)
            await pilot.press("enter")
            await pilot.pause(0.3)

    asyncio.run(go())


def test_everything_that_a_run_and_its_commands_write_is_private(ran: Tombola):
    found = tree(ran.home)
    assert len(found) > 30
    assert any(path.startswith("out/inner/") for path in found)
    for path, (mode, *_) in found.items():
        assert mode & 0o077 == 0, f"{path}: {mode:o}"


def test_a_run_and_its_commands_write_into_the_store_the_files_and_what_was_asked_for(ran: Tombola):
    tops = {"/".join(Path(path).parts[:2]) for path in tree(ran.home)}
    allowed = (
        r"store|store/test\.db(-wal|-shm)?|store/test-files|out|out/inner|\.cache|\.cache/tombola|\.local|\.local/state"
    )
    assert [top for top in tops if not re.fullmatch(allowed, top)] == []


@pytest.mark.parametrize("name", ["..evil", ". .", "-rf", "a\x1b[2Jb", "~", "$HOME", "x" * 200, "\u202e../x", "é" * 60])
def test_no_name_of_a_folder_of_images_leads_out_of_the_folder_of_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv("TOMBOLA_DATA", str(tmp_path / "data"))
    images = tmp_path / "images" / name
    for kind in ("a", "b"):
        (images / kind).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(images / kind / f"{number}.png")
    before = tree(tmp_path, tmp_path / "data")
    prepare(Data(name="folder", path=str(images), size=16), lambda told: None)
    assert tree(tmp_path, tmp_path / "data") == before
    made = list((tmp_path / "data").iterdir())
    assert len(made) == 2
    for path in made:
        assert re.fullmatch(r"folder-[A-Za-z0-9-]*-[0-9a-f]{10}(-16|\.split\.json)", path.name)


def test_no_process_of_a_run_or_the_app_reaches_for_a_network(ran: Tombola):
    place = ran.home.parent
    watched = (place / "reached.watched").read_text()
    assert "-m run tiny-" in watched, "the engine"
    assert "-c " in watched, "the app"
    assert not (place / "reached").exists(), (place / "reached").read_text()


def test_the_watch_on_networks_sees_one_that_is_reached_for(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(WATCHED)
    reaching = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0))"
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "TOMBOLA_TEST_REACHED": str(tmp_path / "reached")}
    subprocess.run([sys.executable, "-c", reaching], env=environment, check=True)
    assert "socket.bind" in (tmp_path / "reached").read_text()


def test_an_engine_at_work_listens_on_no_port(tombola: Tombola):
    tombola("run", "digits-demo", *TINY, "--set", "recipe.epochs=100000", "--detach")
    deadline, pid = time.monotonic() + 60, None
    while pid is None:
        assert time.monotonic() < deadline
        with tombola.reader() as reader:
            rows = reader.rows("SELECT pid FROM attempts WHERE images_done >= 0")
        pid = rows[0]["pid"] if rows else None
        time.sleep(0.1)
    family = [pid, *descendants(pid)]
    held = {
        match[1]
        for process in family
        for descriptor in Path(f"/proc/{process}/fd").iterdir()
        if (match := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor)))
    }
    ports = {
        line.split()[9]
        for table in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    }
    assert held & ports == set()


def descendants(pid: int) -> list[int]:
    """Every process below one."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [*children, *(below for child in children for below in descendants(child))]
