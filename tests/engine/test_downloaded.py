"""MNIST, Fashion-MNIST and CIFAR: downloaded on request, verified, kept whole, and read without torchvision."""

from __future__ import annotations

import io
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine import data as sets
from engine.__main__ import main
from engine.data import downloaded
from engine.data.dataset import split_off
from engine.data.prepared import DataError
from engine.vision import VisionMissing, torchvision
from presets.schema import Data
from tests.realdata import CLASSES, full_disk, pixels, published

NAMES = ("mnist", "fashion-mnist", "cifar10", "cifar100")
SHAPES = {"mnist": (28, 28), "fashion-mnist": (28, 28), "cifar10": (3, 32, 32), "cifar100": (3, 32, 32)}
EACH = 4


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOMBOLA_DATA", str(tmp_path / "data"))
    (tmp_path / "published").mkdir()
    return tmp_path / "data"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Where the publisher's files lie."""
    return tmp_path / "published"


def fetch(name: str) -> list[str]:
    told: list[str] = []
    sets.prepare(Data(name=name), told.append, download=True)
    return told


def refusal(name: str, download: bool = True) -> str:
    with pytest.raises(DataError) as refused:
        sets.prepare(Data(name=name), lambda words: None, download)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("name", NAMES)
def test_every_published_image_arrives_in_its_part_with_its_label(name: str, source: Path, folder: Path):
    classes = CLASSES[name]
    with published(name, source, EACH):
        told = fetch(name)
    whole = sets.load(Data(name=name))
    assert (whole.classes, whole.images.dtype, whole.labels.dtype) == (classes, torch.uint8, torch.int64)
    assert [len(part) for part in (whole.train, whole.validation, whole.test)] == [3 * classes, classes, 2 * classes]
    assert torch.bincount(whole.labels[whole.validation]).tolist() == [1] * classes

    def content(part: torch.Tensor) -> set[tuple[int, bytes]]:
        return {(int(whole.labels[sample]), whole.images[sample].numpy().tobytes()) for sample in part}

    def drawn(numbers: range) -> set[tuple[int, bytes]]:
        return {(label, pixels(label, n, SHAPES[name]).tobytes()) for label in range(classes) for n in numbers}

    assert content(torch.cat([whole.train, whole.validation])) == drawn(range(EACH))
    assert content(whole.test) == drawn(range(EACH, EACH + EACH // 2))
    assert [path.name for path in folder.iterdir()] == [name]
    assert {path.name for path in (folder / name).iterdir()} == {"images.npy", "labels.npy", "card.json"}
    assert told[0].startswith(f"downloading {name}: ")
    assert told[-1] == f"{name} is ready in {folder / name}"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_known_before_the_download_is_what_the_whole_set_gives(name: str):
    """Class sizes as published: MNIST's from LeCun et al. 1998, the others' equal."""
    mnist = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    classes = CLASSES[name]
    per_class = mnist if name == "mnist" else [(60_000 if "mnist" in name else 50_000) // classes] * classes
    labels = torch.repeat_interleave(torch.arange(classes), torch.tensor(per_class))
    parts = split_off(labels, torch.arange(len(labels)), downloaded.VALIDATION, name, "validation")
    known = downloaded.facts(Data(name=name))
    assert (known.train, known.validation) == tuple(map(len, parts))
    assert (known.classes, known.test) == (classes, 10_000)
    assert sets.expected(Data(name=name)).shape == known.shape


def test_what_is_known_afterwards_is_what_is_there(source: Path):
    with published("cifar10", source, EACH):
        fetch("cifar10")
    known = downloaded.facts(Data(name="cifar10"))
    assert (known.train, known.validation, known.test) == (30, 10, 20)


def test_names_of_classes_are_kept(source: Path, folder: Path):
    from engine.data.prepared import read

    for name in ("fashion-mnist", "cifar10"):
        (source / name).mkdir()
        with published(name, source / name, 2):
            fetch(name)
    assert read("fashion-mnist").card["names"][-1] == "Ankle boot"
    assert read("cifar10").card["names"][3] == "cat"


def test_it_is_downloaded_once(source: Path):
    with published("mnist", source, EACH) as asked:
        fetch("mnist")
        assert len(asked) == 8  # each of four files: where it lies, then the file
        assert fetch("mnist") == []
        assert len(asked) == 8


def test_reading_it_takes_neither_torchvision_nor_pillow(source: Path):
    with published("mnist", source, EACH):
        fetch("mnist")
    code = (
        "import sys; from engine.data import load; from presets.schema import Data; load(Data(name='mnist'));"
        "print({'torchvision', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_nothing_is_downloaded_unless_somebody_asks():
    hint = "`tombola data mnist --fetch` gets it (12 MB from ossci-datasets.s3.amazonaws.com)"
    words = f"mnist is not on this machine: {hint}"
    assert refusal("mnist", download=False) == words
    with pytest.raises(DataError) as refused:
        sets.load(Data(name="mnist"))
    assert str(refused.value) == words


# What can go wrong


def closed_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_without_a_network_it_says_so_and_how_else_to_get_it(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    kind = getattr(torchvision(name).datasets, downloaded.SETS[name].kind)
    nowhere = f"http://127.0.0.1:{closed_port()}/"
    monkeypatch.setattr(kind, *(("mirrors", [nowhere]) if name == "mnist" else ("url", nowhere)))
    words = refusal(name)
    assert f"{name} cannot be downloaded from {downloaded.SETS[name].host} ([Errno 111] Connection refused)" in words
    assert f"copy {folder / name} from a machine that has it" in words
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "file"), [("mnist", "t10k-labels-idx1-ubyte.gz"), ("cifar100", "cifar-100-python.tar.gz")]
)
def test_a_file_that_the_publisher_does_not_have_is_told(name: str, file: str, source: Path, folder: Path):
    with published(name, source, EACH):
        (source / file).unlink()
        assert f"{downloaded.SETS[name].host} (HTTP Error 404: File not found)" in refusal(name)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "file"), [("mnist", "t10k-labels-idx1-ubyte.gz"), ("cifar10", "cifar-10-python.tar.gz")]
)
def test_something_else_than_was_published_or_half_of_it_is_never_kept(
    name: str, file: str, source: Path, folder: Path
):
    with published(name, source, EACH):
        cut(source / file)
        words = refusal(name)
    assert f"what came from {downloaded.SETS[name].host} has not the published checksum" in words
    assert f"try again, or copy {folder / name} from a machine" in words
    assert list(folder.iterdir()) == []


def test_a_publisher_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch, folder: Path):
    monkeypatch.setattr(downloaded, "STALLED", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(torchvision("cifar10").datasets.CIFAR10, "url", url)
        assert "cannot be downloaded from www.cs.toronto.edu (timed out)" in refusal("cifar10")
    assert socket.getdefaulttimeout() is None
    assert list(folder.iterdir()) == []


def test_a_disk_that_runs_full_during_the_download_is_told(source: Path, folder: Path):
    with published("cifar10", source, 40), full_disk():
        words = refusal("cifar10")
    assert words.endswith("File too large: make room, or choose another place with TOMBOLA_DATA")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("gone", "needed"), [("torchvision", "torchvision"), ("PIL", "pillow")])
def test_without_torchvision_or_pillow_it_says_what_to_install(
    gone: str, needed: str, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in [name for name in sys.modules if name.split(".")[0] in ("torchvision", "PIL")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, gone, None)
    with pytest.raises(VisionMissing, match=rf"^cifar10 needs {needed}, which is not installed: pip install '.*vision"):
        fetch("cifar10")
    assert not folder.exists()


# The engine's verbs


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The engine's command line with `data` on its standard input: exit code, stdout and stderr."""

    def call(*arguments: str, data: Data | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["engine", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO("" if data is None else data.model_dump_json()))
        code = main()
        done = capsys.readouterr()
        return code, done.out, done.err

    monkeypatch.setattr(signal, "signal", lambda *_: None)  # what an interrupt does to pytest stays as it is
    return call


def test_prepare_tells_what_it_does_with_a_mark_and_ends_with_what_is_known(
    engine: Callable[..., tuple[int, str, str]], source: Path, folder: Path
):
    with published("mnist", source, EACH):
        code, out, err = engine("prepare", "-", "--download", data=Data(name="mnist"))
    assert code == 0
    assert err.splitlines() == [
        "> downloading mnist: 12 MB from ossci-datasets.s3.amazonaws.com",
        f"> mnist is ready in {folder / 'mnist'}",
    ]
    known = json.loads(out)
    assert (known["there"], known["train"], known["fault"]) == (True, 30, "")
    assert json.loads(engine("data", "-", "--json", data=Data(name="mnist"))[1]) == known


def test_prepare_refuses_in_one_line_without_the_mark(
    engine: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
):
    code, out, err = engine("prepare", "-", data=Data(name="mnist"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("mnist is not on this machine: ")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    code, out, err = engine("prepare", "-", "--download", data=Data(name="mnist"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("mnist needs torchvision, which is not installed: ")


def test_a_damaged_set_is_listed_with_its_fault_beside_the_others(
    engine: Callable[..., tuple[int, str, str]], folder: Path
):
    (folder / "mnist").mkdir(parents=True)
    (folder / "mnist" / "card.json").write_text("{")
    code, out, _ = engine("data", "--json")
    sets = {one["name"]: one for one in json.loads(out)}
    assert code == 0
    assert sets["mnist"]["fault"].startswith(f"{folder / 'mnist'} does not hold what was prepared")
    assert sets["cifar10"]["fault"] == ""
    assert engine("data", "-", "--json", data=Data(name="mnist"))[0] == 2


def test_an_interrupted_prepare_keeps_nothing(
    engine: Callable[..., tuple[int, str, str]], folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torchvision("cifar10").datasets, "CIFAR10", interrupted)
    assert engine("prepare", "-", "--download", data=Data(name="cifar10"))[:2] == (130, "")
    assert list(folder.iterdir()) == []
