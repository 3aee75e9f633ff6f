"""What a run sets aside in its folder, to go on from after an interruption: trainings under way, and what finished ones
ended with while a search still needs it.

Every file has a row with its SHA-256: a file that is gone or damaged is found by it, told of, and done without; so is
one whose content does not fit its training, as where another version wrote it. A file is there before its row, and goes
after it, so a row that names no file means damage; a file that no row names is what a killed engine left, and is
removed by the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from engine import earlier, tensors
from engine.recording import Recorder
from store.errors import StoreError
from store.files import aside_path

KEPT = 2
"""Checkpoints of a training under way: the newest, and the one before in case that is damaged."""

Held = tuple[dict[str, Tensor], dict[str, str]]
"""Tensors and metadata of a file."""


@dataclass(frozen=True)
class File:
    """One of them: where it lies below the run's folder, and its hash; `step` is None at the end of a training."""

    path: str
    step: int | None
    sha256: str


class Aside:
    """The files of one run, of which this process is the owner; rows are written at the record's next flush."""

    def __init__(self, record: Recorder, folder: Path) -> None:
        self._record, self._folder = record, folder
        self._files: dict[str, list[File]] = {}
        """By training, in the order of steps, its end last."""
        known = set()
        for row in earlier.aside(record):
            try:
                known.add(aside_path(folder, row["path"]))
            except StoreError as error:
                record.log("warning", f"{error}: left alone")
                record.not_aside(row["key"], row["path"])
            else:
                self._files.setdefault(row["key"], []).append(File(row["path"], row["step"], row["sha256"]))
        for path in (*folder.glob("live/*"), *folder.glob("trained/*")):
            if path not in known:
                with suppress(OSError):  # the next engine tries again
                    path.unlink()

    def step(self, key: str) -> int | None:
        """At which step the newest checkpoint of a training under way was made; None where there is none."""
        return max((file.step for file in self._files.get(key, ()) if file.step is not None), default=None)

    def keep(self, key: str, step: int, content: bytes) -> None:
        """Keep a training as it is after `step` steps, and the one before."""
        if self.step(key) == step:  # begun again from there and stopped at once: its bits are there
            return
        self._write(key, File(f"live/{key}.{step}.safetensors", step, _sha256(content)), content)
        under_way = [file for file in self._files[key] if file.step is not None]
        self._drop(key, under_way[:-KEPT])

    def newest(self, key: str, words: str) -> Held | None:
        """The newest checkpoint that is whole. One that is not is told of, as that of `words`, and dropped."""
        for file in [file for file in reversed(self._files.get(key, ())) if file.step is not None]:
            if held := self._read(key, file, f"the checkpoint of {words} at step {file.step}"):
                return held
        return None

    def unfit(self, key: str, words: str, why: str) -> None:
        """The newest checkpoint is whole, but not one to go on from: tell of it, and drop it."""
        file = max((f for f in self._files[key] if f.step is not None), key=_order)
        self._refuse(key, file, f"the checkpoint of {words} at step {file.step}", f"does not fit, since {why}")

    def keep_end(self, key: str, content: bytes) -> None:
        """Keep what a training ended with."""
        self._write(key, File(f"trained/{key}.safetensors", None, _sha256(content)), content)

    def end(self, key: str, words: str) -> Held | None:
        """What a training ended with, if that was kept and is whole; told of as `newest` does."""
        for file in [file for file in self._files.get(key, ()) if file.step is None]:
            return self._read(key, file, f"what {words} ended with")
        return None

    def unfit_end(self, key: str, words: str) -> None:
        """What a training ended with is whole, but not of its network: tell of it, and drop it."""
        for file in [file for file in self._files[key] if file.step is None]:
            self._refuse(key, file, f"what {words} ended with", "does not fit its network")

    def over(self, key: str) -> None:
        """The training is done: it will not go on from a checkpoint any more."""
        self._drop(key, [file for file in self._files.get(key, ()) if file.step is not None])

    def forget(self, keys: Iterable[str]) -> None:
        """Nobody needs any more what these trainings ended with."""
        for key in keys:
            self._drop(key, [file for file in self._files.get(key, ()) if file.step is None])

    def clear(self) -> None:
        """The run is finished."""
        for key in list(self._files):
            self._drop(key, self._files[key])
        for name in ("live", "trained"):
            self._record.after_flush((self._folder / name).rmdir)

    def _write(self, key: str, file: File, content: bytes) -> None:
        tensors.write(self._folder / file.path, content)
        files = [other for other in self._files.get(key, ()) if other.path != file.path]
        self._files[key] = sorted([*files, file], key=_order)
        self._record.set_aside(key, vars(file) | {"bytes": len(content)})

    def _read(self, key: str, file: File, what: str) -> Held | None:
        content = tensors.verified(self._folder / file.path, file.sha256)
        if content is not None:
            try:
                return tensors.decode(content)
            except ValueError:
                how = "does not fit, since it is no file of tensors"
        else:
            how = "is damaged" if (self._folder / file.path).exists() else "is gone"
        self._refuse(key, file, what, how)
        return None

    def _refuse(self, key: str, file: File, what: str, how: str) -> None:
        """Tell of a file that cannot be gone on from, and do without it."""
        self._record.log("warning", f"{what} {how} ({file.path}): going on from what was before it")
        self._drop(key, [file])

    def _drop(self, key: str, files: Iterable[File]) -> None:
        for file in list(files):
            self._files[key].remove(file)
            self._record.not_aside(key, file.path)
            self._record.after_flush(partial(self._unlink, key, file.path))

    def _unlink(self, key: str, path: str) -> None:
        """Unless it has been written anew since."""
        if all(file.path != path for file in self._files.get(key, ())):
            (self._folder / path).unlink()


def _order(file: File) -> float:
    return float("inf") if file.step is None else file.step


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
