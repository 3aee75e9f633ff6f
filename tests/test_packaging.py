"""The wheel holds the four houses with their presets and data, and works wherever it is installed and run from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.program import TINY

pytest.importorskip("hatchling", reason="the build backend is needed to build the wheel")
pytest.importorskip("pip", reason="pip builds and installs the wheel")

ROOT = Path(__file__).parents[1]
HOUSES = ("presets", "store", "engine", "tui")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([*pip, *build], check=True, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel in it; what it depends on is lent by the one that runs the tests."""
    home = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(home, symlinks=os.name != "nt")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(home / "bin/python")]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True, cwd=home)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    lent = [place for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]
    (packages / "lent.pth").write_text("\n".join(lent) + "\n")
    return home


@pytest.fixture
def installed(environment: Path, tmp_path: Path):
    """Runs the installed command as a new user would: own store, nothing of the checkout on the path."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TOMBOLA", "XDG_"))}
    home = tmp_path / "home"
    home.mkdir()

    def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(environment / "bin/tombola"), *arguments],
            cwd=cwd,
            env=clean | {"HOME": str(home), "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_the_wheel_holds_exactly_the_four_houses_with_their_presets_and_data(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for house in HOUSES
        for path in (ROOT / house).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted
    assert "presets/colt/digits-demo.toml" in held
    assert "engine/data/digits.npz" in held


def test_the_wheel_carries_the_licence_and_the_command(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        assert "tombola = tui.main:main" in archive.read(entry_points).decode()
        assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_installed_command_is_the_wheels_and_not_the_checkouts(environment: Path, tmp_path: Path):
    ask = "import presets, store, engine, tui; print(presets.__file__, store.__file__, engine.__path__, tui.__path__)"
    answer = subprocess.run(
        [str(environment / "bin/python"), "-P", "-c", ask],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert answer.count(str(environment)) == 4
    assert str(ROOT) not in answer.replace(str(environment), "")


def test_presets_are_found_from_an_empty_folder(installed, tmp_path: Path):
    folder = tmp_path / "empty"
    folder.mkdir()
    answer = installed("presets", "--json", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    assert "digits-demo" in {preset["name"] for preset in json.loads(answer.stdout)}


def test_the_demo_runs_from_an_empty_folder_and_leaves_it_empty(installed, tmp_path: Path):
    folder = tmp_path / "empty"
    folder.mkdir()
    run_the_demo(installed, folder)
    assert list(folder.iterdir()) == []


def test_the_demo_runs_from_a_folder_whose_files_are_named_like_houses(installed, tmp_path: Path):
    folder = tmp_path / "namesakes"
    (folder / "store").mkdir(parents=True)
    fatal = "raise SystemExit('a file of the working directory was imported')\n"
    (folder / "engine.py").write_text(fatal)
    (folder / "store" / "__init__.py").write_text(fatal)
    run_the_demo(installed, folder)
    assert sorted(path.name for path in folder.rglob("*")) == ["__init__.py", "engine.py", "store"]


def run_the_demo(installed, folder: Path) -> None:
    answer = installed("demo", *TINY, "--seed", "0", cwd=folder)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    runs = installed("runs", "--json", cwd=folder)
    assert [run["state"] for run in json.loads(runs.stdout)] == ["finished"], runs.stdout
