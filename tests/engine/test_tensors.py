"""Files hold what was written, are named by it, and appear whole."""

import ast
import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine import tensors


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4), st.integers(0, 1000))
def test_a_mask_survives_packing(shapes, seed):
    draw = torch.Generator().manual_seed(seed)
    mask = {f"layer{i}": torch.rand(shape, generator=draw) < 0.5 for i, shape in enumerate(shapes)}
    bits, metadata = tensors.pack(mask)
    assert sum(b.numel() for b in bits.values()) <= sum(keep.numel() // 8 + 1 for keep in mask.values())
    again = tensors.unpack(bits, metadata)
    assert all(torch.equal(again[name], keep) for name, keep in mask.items())


WHOLE = tensors.encode(*tensors.pack({"a": torch.ones(3, 5, dtype=torch.bool), "b": torch.zeros(9, dtype=torch.bool)}))


@given(st.data())
def test_any_other_bytes_are_a_file_of_tensors_or_refused(data):
    content = data.draw(st.binary(max_size=60) | st.just(WHOLE))
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(start + 9, len(content))))
    content = content[:start] + data.draw(st.binary(max_size=9)) + content[end:]
    try:
        held, _ = tensors.decode(content)
    except ValueError:
        return
    assert all(isinstance(tensor, torch.Tensor) for tensor in held.values())


def test_bits_of_another_shape_are_no_mask():
    bits, metadata = tensors.pack({"a": torch.ones(3, 5, dtype=torch.bool)})
    for shape in ([3, 6], [2, 4], [0, 5]):
        with pytest.raises(ValueError, match="are no mask of the shape"):
            tensors.unpack(bits, {"packed_shapes": json.dumps({"a": shape})})
    assert tensors.unpack(bits, metadata)["a"].all()


def test_a_file_reads_back_and_equal_content_has_equal_bytes(tmp_path):
    mask = {"a": torch.tensor([[True, False], [False, True]]), "b": torch.tensor([True])}
    content = tensors.encode(*tensors.pack(mask))
    assert content == tensors.encode(*tensors.pack({name: keep.clone() for name, keep in mask.items()}))
    tensors.write(tmp_path / "deep" / "mask.safetensors", content)
    again, _ = tensors.read(tmp_path / "deep" / "mask.safetensors")
    assert torch.equal(again["a"], mask["a"])
    weights = {"w": torch.arange(24.0).view(1, 2, 3, 4).to(memory_format=torch.channels_last)}
    tensors.write(tmp_path / "w", tensors.encode(weights, {"step": "3"}))
    read, metadata = tensors.read(tmp_path / "w")
    assert torch.equal(read["w"], weights["w"])
    assert metadata == {"step": "3"}


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w"
    tensors.write(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        tensors.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["w"], "no draft is left behind"


def test_digests_tell_names_values_shapes_and_dtypes_apart():
    base = {"a": torch.zeros(2, 3)}
    others = [
        {"b": torch.zeros(2, 3)},
        {"a": torch.ones(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3).long()},
    ]
    assert len({tensors.digest(t) for t in [base, *others]}) == 5
    nhwc = torch.rand(2, 3, 4, 5)
    assert tensors.digest({"a": nhwc}) == tensors.digest({"a": nhwc.to(memory_format=torch.channels_last)})


def test_a_file_is_flushed_before_it_gets_its_name_and_the_name_after(tmp_path, monkeypatch):
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flushing(opened: int) -> None:
        done.append(f"flush {os.readlink(f'/proc/self/fd/{opened}')}")
        fsync(opened)

    def renaming(draft: Path, path: Path) -> None:
        done.append(f"rename {path}")
        replace(draft, path)

    monkeypatch.setattr(os, "fsync", flushing)
    monkeypatch.setattr(os, "replace", renaming)
    folder = tmp_path / "new"
    tensors.write(folder / "w", b"content", by="run")
    assert done == [f"flush {folder / '.w.run'}", f"rename {folder / 'w'}", f"flush {folder}", f"flush {tmp_path}"]
    done.clear()
    tensors.write(folder / "w", b"other")
    assert done[-1] == f"flush {folder}"


PICKLERS = {"pickle", "dill", "joblib", "shelve", "marshal", "torch.save", "torch.load", "torch.jit"}


def test_no_file_is_ever_pickled():
    root = Path(tensors.__file__).parents[1]
    used = set()
    for path in (path for house in ("presets", "store", "engine", "tui") for path in (root / house).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [name.name for name in node.names] + [getattr(node, "module", None) or ""]
            elif isinstance(node, ast.Attribute):
                names = [ast.unparse(node)]
            elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False"
            used |= {(str(path.relative_to(root)), name) for name in names if name in PICKLERS}
    assert used == {("engine/workers.py", "pickle")}, (
        "what crosses the pipes between an engine and its workers is no file"
    )
