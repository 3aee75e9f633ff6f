"""The only door to torchvision: imported when something needs it, and made to import beside a CPU build of torch.

Importing it takes a while, so nothing here does at import, and torch's compiler, which it would import too, waits until
it is used. PyPI's torchvision is compiled for CUDA; beside a CPU torch its operators do not load, and the import fails
though only its Python parts (data sets, network definitions) are used. Then the operators that it describes at import
are declared here, without code behind them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

OPERATORS = ("nms", "qnms")
"""Operators for which torchvision (0.23 to 0.28) registers a shape function without asking whether they exist."""

COMPILER = "torch._dynamo"

_declared: list[torch.library.Library] = []  # a declaration lasts as long as its library object


class VisionMissing(Exception):
    """torchvision cannot be used: one line with what needs it and what to install."""


def torchvision(purpose: str) -> ModuleType:
    """The package torchvision, with .models, .datasets and .transforms; `purpose` is what needs it ("cifar10").

    Raises:
        VisionMissing: it is not installed, or pillow, which it needs, is not, or it does not belong to this torch.
    """
    try:
        return _package()
    except ModuleNotFoundError as error:
        package = (error.name or "torchvision").split(".")[0]
        reason = f"{'pillow' if package == 'PIL' else package}, which is not installed"
    except (ImportError, RuntimeError, AttributeError) as error:
        reason = f"a torchvision that fits this torch ({' '.join(str(error).split())})"
    remedy = f"pip install 'tombola[vision]', or on a GPU box the torchvision made for torch {torch.__version__}"
    raise VisionMissing(f"{purpose} needs {reason}: {remedy}") from None


def _package() -> ModuleType:
    try:
        with _compiler_later():
            return _declared_package()
    except (ImportError, AttributeError) as error:
        if COMPILER not in str(error):
            raise
        return _declared_package()  # one that wants more of the compiler gets it


def _declared_package() -> ModuleType:
    try:
        return import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        _declare_operators()
        return import_module("torchvision")


@contextmanager
def _compiler_later() -> Iterator[None]:
    """Within it, a stand-in for torch's compiler has the one function of it that torchvision (0.28) imports, for an
    operator that nothing here uses: with the compiler itself the import takes 0.85 s in place of 0.1 s."""
    if COMPILER in sys.modules:
        yield
        return
    utils = ModuleType(f"{COMPILER}.utils")
    utils.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    stand_ins = {COMPILER: ModuleType(COMPILER), utils.__name__: utils}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


def _is_compile_supported(device: Any) -> Any:
    return import_module(f"{COMPILER}.utils").is_compile_supported(device)


def _declare_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
