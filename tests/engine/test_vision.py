"""torchvision comes through one door: late, also beside a CPU build of torch, and with one line where it is missing."""

import subprocess
import sys
from importlib.util import find_spec
from types import ModuleType

import pytest

from engine import vision
from engine.networks import build
from engine.vision import VisionMissing, torchvision
from presets.schema import Network

there = pytest.mark.skipif(
    not (find_spec("torchvision") and find_spec("PIL")), reason="torchvision or pillow is not installed"
)


@pytest.fixture
def importing(monkeypatch):
    """Let the import of torchvision end with these results, one a try; an exception is raised."""

    def set_results(*results):
        tries = iter(results)

        def import_module(name):
            result = next(tries)
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(vision, "import_module", import_module)

    return set_results


def test_without_torchvision_one_line_says_what_needs_it_and_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(VisionMissing) as caught:
        build(Network(name="resnet18"), (3, 32, 32), 10)
    line = str(caught.value)
    assert line.startswith("resnet18 needs torchvision, which is not installed: pip install 'tombola[vision]'")
    assert "\n" not in line


def test_without_pillow_the_line_names_pillow(importing):
    importing(ModuleNotFoundError("No module named 'PIL'", name="PIL"))
    with pytest.raises(VisionMissing, match="cifar10 needs pillow, which is not installed"):
        torchvision("cifar10")


@pytest.mark.parametrize("error", [RuntimeError("compiled with different\nCUDA versions"), ImportError("no symbol x")])
def test_a_torchvision_that_does_not_fit_says_so_in_one_line(importing, error):
    importing(error)
    with pytest.raises(VisionMissing) as caught:
        torchvision("cifar10")
    assert "a torchvision that fits this torch" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_where_the_plain_import_works_nothing_is_declared(importing, monkeypatch):
    package = ModuleType("torchvision")
    importing(package)
    monkeypatch.setattr(vision, "_declare_operators", pytest.fail)
    assert torchvision("cifar10") is package


def test_operators_are_declared_once_when_the_import_lacks_them(importing, monkeypatch):
    package, declared = ModuleType("torchvision"), []
    monkeypatch.setattr(vision, "_declare_operators", lambda: declared.append(1))
    importing(RuntimeError("operator torchvision::nms does not exist"), package)
    assert torchvision("cifar10") is package
    assert declared == [1]


def test_a_torchvision_that_wants_more_of_torchs_compiler_gets_it(importing):
    package = ModuleType("torchvision")
    importing(ImportError("cannot import name 'disable' from 'torch._dynamo' (unknown location)"), package)
    assert torchvision("cifar10") is package


@there
def test_torchs_compiler_is_imported_once_it_is_used_and_not_by_torchvision():
    code = (
        "import sys\n"
        "from engine.vision import torchvision\n"
        "from_there = torchvision('resnet18').ops.roi_align.__globals__['is_compile_supported']\n"
        "assert not [name for name in sys.modules if name.startswith('torch._dynamo')]\n"
        "told = from_there('cpu')\n"
        "import torch\n"
        "assert told is torch._dynamo.utils.is_compile_supported('cpu')\n"
        "assert torch._dynamo.is_compiling() is False\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@there
def test_networks_import_torchvision_only_when_one_is_built_of_its_blocks_and_then_it_imports_without_a_warning():
    code = (
        "import sys\n"
        "from engine.networks import build\n"
        "from presets.schema import Network\n"
        "for name in ('conv3', 'resnet20', 'vgg11', 'wrn-22-2'):\n"
        "    build(Network(name=name, width=0.1), (3, 8, 8), 10)\n"
        "assert 'torchvision' not in sys.modules\n"
        "build(Network(name='resnet18', width=0.1), (3, 8, 8), 10)\n"
        "import torchvision\n"
        "print(torchvision.datasets.CIFAR10.__name__, torchvision.models.__name__, torchvision.transforms.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["CIFAR10", "torchvision.models", "torchvision.transforms"], done.stderr
    assert not done.stderr
