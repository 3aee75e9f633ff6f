"""`tombola data`: what there is, what is here, and how the rest is got; without a network, and interrupted."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.program import Tombola
from tests.realdata import class_folders, idx_files, serving
from tui import launch
from tui.commands import doctor
from tui.main import main

SETS = {"digits", "glyphs", "mnist", "fashion-mnist", "cifar10", "cifar100", "tiny-imagenet"}


@pytest.fixture
def offline() -> dict[str, str]:
    """An environment in which every way out ends at a port of this machine where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{bound.getsockname()[1]}"
    return {"http_proxy": nowhere, "https_proxy": nowhere, "no_proxy": ""}


@pytest.fixture
def place(tombola: Tombola) -> Path:
    return tombola.home / ".cache" / "tombola" / "data"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the engine knows of every set where none was fetched, asked once."""
    return json.loads(Tombola(tmp_path_factory.mktemp("nothing"))("data", "--json").stdout)


def test_the_list_as_json_holds_what_is_known_of_each(known: list[dict[str, Any]]):
    sets = {one["name"]: one for one in known}
    assert set(sets) == SETS
    keys = ("there", "shape", "classes", "train", "validation", "test", "download", "fault")
    assert [sets["cifar100"][key] for key in keys] == [
        False, [3, 32, 32], 100, 45_000, 5_000, 10_000, "169 MB from www.cs.toronto.edu", "",
    ]  # fmt: skip
    assert sets["digits"]["there"]


def test_the_list_says_how_to_get_each_and_where_they_lie(
    known: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(launch, "data_sets", lambda: known)
    monkeypatch.setenv("TOMBOLA_DATA", "/some/where")
    assert main(["data"]) == 0
    done = capsys.readouterr()
    rows = {line.split()[0]: line for line in done.out.splitlines()[1:]}
    assert set(rows) == SETS
    assert re.fullmatch(r"digits +1 797 +10 +1×8×8 +here", rows["digits"])
    assert re.fullmatch(r"cifar10 +60 000 +10 +3×32×32 +tombola data cifar10 --fetch: 170 MB", rows["cifar10"])
    assert rows["glyphs"].endswith("made by the first run that needs it, or tombola data glyphs --fetch")
    assert done.err.splitlines()[-1] == "they lie in /some/where"
    assert max(map(len, done.out.splitlines())) <= 120


def test_one_is_shown_with_its_split(
    known: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(launch, "data_set", lambda data: next(one for one in known if one["name"] == data.name))
    assert main(["data", "tiny-imagenet"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "tiny-imagenet",
        "images   110 000: 90 000 to train on, 10 000 for validation, 10 000 for the test",
        "classes  200",
        "size     3×64×64",
        "state    tombola data tiny-imagenet --fetch: 248 MB from cs231n.stanford.edu",
    ]
    assert main(["data", "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["train"] == 1197


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cifr10"], "no data set 'cifr10'; did you mean cifar10?"),
        (["folder"], "no data set 'folder': there are digits, glyphs"),
        (["--fetch"], "--fetch goes with the name of a data set"),
    ],
)
def test_wrong_usage_is_one_line_and_2(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]):
    assert main(["data", *arguments]) == 2
    done = capsys.readouterr()
    assert done.out == ""
    assert re.fullmatch(r"tombola: [^\n]+\n", done.err)
    assert words in done.err


def test_without_a_network_a_fetch_says_so_and_leaves_nothing(tombola: Tombola, offline: dict[str, str], place: Path):
    name = "cifar10"
    done = tombola("data", name, "--fetch", code=1, **offline)
    told, refused = done.stderr.splitlines()
    assert done.stdout == ""
    assert told.startswith(f"downloading {name}: ")
    assert re.fullmatch(
        rf"tombola: {name} cannot be downloaded from \S+ \(.*Connection refused\): try again .*", refused
    )
    assert list(place.iterdir()) == []


def test_a_folder_of_ones_own_is_shown_and_decoded(tombola: Tombola, place: Path):
    class_folders(tombola.home / "pets", ("cat", "dog"), 12)
    shown = tombola("data", "./pets").stdout
    assert "images   24: 18 to train on, 2 for validation, 4 for the test\nclasses  2\nsize     3×64×64\n" in shown
    assert "state    made by the first run that needs it" in shown
    done = tombola("data", "./pets", "--fetch")
    assert f"decoding 24 images of 2 classes from {tombola.home / 'pets'}\n" in done.stderr
    assert "state    here" in done.stdout
    assert len([path for path in place.iterdir() if path.is_dir()]) == 1


def test_the_doctor_says_where_data_sets_lie_which_are_here_and_which_are_damaged(
    known: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    damaged = {"name": "mnist", "there": False, "fault": "/some/where/mnist is not whole: delete it"}
    monkeypatch.setattr(launch, "data_sets", lambda: [damaged, *(one for one in known if one["name"] != "mnist")])
    monkeypatch.setenv("TOMBOLA_DATA", "/some/where")
    assert [(finding.what, finding.state, finding.words) for finding in doctor._data()] == [
        ("data", "well", "here: digits; what was fetched lies in /some/where; tombola data lists all"),
        ("data", "unwell", damaged["fault"]),
    ]


def test_a_damaged_set_does_not_hide_the_others(
    known: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    damaged = {"name": "mnist", "there": False, "fault": "/some/where/mnist is not whole: delete it"}
    monkeypatch.setattr(launch, "data_sets", lambda: [damaged, *(one for one in known if one["name"] != "mnist")])
    assert main(["data"]) == 0
    rows = capsys.readouterr().out
    assert re.search(r"^mnist +– +– +– +/some/where/mnist is not whole: delete it$", rows, re.MULTILINE)
    assert "cifar10" in rows


def test_a_fetch_downloads_verifies_and_shows_what_is_there_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The command with an engine that knows another place and other checksums of MNIST."""
    (tmp_path / "published").mkdir()
    checksums = idx_files(tmp_path / "published", 4)
    monkeypatch.setenv("TOMBOLA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(tmp_path / "published") as (address, _):
        script = tmp_path / "engine_of_this_test.py"
        script.write_text(
            "import sys\n"
            "from engine.__main__ import main\n"
            "from engine.vision import torchvision\n"
            "kind = torchvision('this test').datasets.MNIST\n"
            f"kind.mirrors, kind.resources = [{address + '/'!r}], {list(checksums.items())!r}\n"
            "sys.exit(main())\n"
        )
        monkeypatch.setattr(launch, "ENGINE", (sys.executable, str(script)))
        assert main(["data", "mnist", "--fetch"]) == 0
        done = capsys.readouterr()
        assert done.err.splitlines()[-1] == f"mnist is ready in {tmp_path / 'data' / 'mnist'}"
        assert done.out.splitlines()[1:] == [
            "images   60: 30 to train on, 10 for validation, 20 for the test",
            "classes  10",
            "size     1×28×28",
            "state    here",
        ]


@pytest.fixture
def slow_publisher() -> Iterator[str]:
    """A proxy that answers whatever it is asked for with bytes that never end, a few at a time."""
    ended = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while not ended.is_set():
            try:
                asked, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=drip, args=(asked,), daemon=True).start()

    def drip(asked: socket.socket) -> None:
        try:
            with asked:
                asked.recv(4096)
                asked.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 248100043\r\n\r\n")
                while not ended.wait(0.02):
                    asked.sendall(bytes(1000))
        except OSError:  # it has hung up
            return

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    ended.set()
    server.close()


def test_an_interrupted_fetch_ends_the_engine_and_leaves_nothing_half(
    tombola: Tombola, slow_publisher: str, place: Path
):
    environment = tombola.environment | {"http_proxy": slow_publisher, "no_proxy": ""}
    fetching = subprocess.Popen(
        [tombola.command, "data", "tiny-imagenet", "--fetch"], env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(place.glob(".tiny-imagenet.*/raw.zip")):
        assert time.monotonic() < deadline, "the download did not begin"
        time.sleep(0.05)
    fetching.send_signal(signal.SIGINT)
    _, told = fetching.communicate(timeout=60)
    assert fetching.returncode == 130
    assert told.splitlines()[-1] == "interrupted: nothing of tiny-imagenet was kept"
    assert "Traceback" not in told
    assert list(place.iterdir()) == []
