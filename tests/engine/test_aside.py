"""A file that a run would go on from, and that is damaged or gone, is found by its hash, told of, and done without."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine import tensors
from engine.aside import KEPT, Aside, Held
from engine.data import load
from engine.networks import initialise
from engine.recording import Recorder
from engine.training import Checkpoint, Stopped, Trainer, Training, Unfit
from presets.schema import Data, Experiment, Recipe
from store.files import object_path, run_folder, sha256_of
from store.writing import Writer
from tests.engine.killing import SMALL, attempt, faults, killed_when, outcome, told
from tests.engine.running import Bench

SPEC = SMALL | {
    "recipe": {"epochs": 12, "batch": 64, "lr": 0.1},
    "searches": {"colt": {"method": "colt", "rounds": 2, "split": "random", "segments": 3, "rewind": "5 steps"}},
    "arms": {"ticket": {"ticket": "each"}},
}
DATA = load(Data())
OURS = "FROM checkpoints c JOIN trainings t ON t.id = c.training WHERE t.run = :run AND c.step"
MIDWAY = (
    f"SELECT 1 WHERE EXISTS (SELECT 1 {OURS} IS NULL)"
    f" AND EXISTS (SELECT 1 {OURS} > 40 AND t.state = 'running' GROUP BY t.id HAVING count(*) = 2)"
    " AND EXISTS (SELECT 1 FROM tickets k JOIN rounds r ON r.id = k.round JOIN searches s ON s.id = r.search"
    " WHERE s.run = :run)"
)
"""One ticket found, and in the second round a member trained and others under way."""

WHERE = {
    "checkpoint": f"SELECT c.path {OURS} IS NOT NULL ORDER BY c.step DESC",
    "end": f"SELECT c.path {OURS} IS NULL",
    "mask": "SELECT sha256 FROM file_uses WHERE run = :run AND role = 'mask'",
    "point": "SELECT sha256 FROM file_uses WHERE run = :run AND role = 'start' AND training IS NOT NULL",
}


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Rows and hashes of a run that was never interrupted."""
    bench = Bench(tmp_path_factory.mktemp("whole"))
    run = bench.create(SPEC)
    bench.finish(run)
    return outcome(bench, run)


@pytest.fixture(scope="module")
def midway(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder of the store of a run that was killed."""
    folder = tmp_path_factory.mktemp("midway")
    bench = Bench(folder)
    run = bench.create(SPEC)
    killed_when(bench, run, MIDWAY)
    bench.conn.close()
    return folder, run


@pytest.mark.parametrize(
    ("what", "count", "damage", "words"),
    [
        ("checkpoint", 1, flipped, "is damaged (live/"),
        ("checkpoint", 9, Path.unlink, "is gone (live/"),
        ("end", 1, cut, "is damaged (trained/"),
        ("mask", 1, flipped, "a file of its ticket is gone or damaged"),
        ("point", 1, Path.unlink, "they are trained again"),
    ],
)
def test_a_run_with_a_damaged_file_goes_on_from_the_one_before_and_ends_in_the_same_bits(
    tmp_path: Path, whole: dict, midway: tuple[Path, str], what: str, count: int, damage: Callable, words: str
) -> None:
    folder, run = midway
    shutil.copytree(folder, tmp_path / "copy")
    bench = Bench(tmp_path / "copy")
    found = [row[0] for row in bench.rows(WHERE[what], run)][:count]
    assert found
    for name in found:
        path = object_path(bench.files, name) if len(name) == 64 else run_folder(bench.files, run) / name
        damage(path)
    attempt(bench, run)
    assert bench.state(run) == "finished"
    assert told(bench, run, words)
    assert outcome(bench, run) == whole
    assert faults(bench, run) == []
    bench.conn.close()


def reshaped(held: Held) -> Held:
    """Every weight in a shape that would be spread over its place."""
    tensors_held, said = held
    return {name: t[:1] if t.ndim else t for name, t in tensors_held.items()}, said


def renamed(held: Held) -> Held:
    return {name.replace("conv", "layer"): t for name, t in held[0].items()}, held[1]


def silent(held: Held) -> Held:
    return held[0], {}


@pytest.mark.parametrize(
    ("what", "count", "change", "words"),
    [
        ("checkpoint", 1, reshaped, "does not fit, since its "),
        ("checkpoint", 9, renamed, "does not fit, since it has no "),
        ("checkpoint", 9, silent, "does not fit, since it says nothing of its training"),
        ("checkpoint", 1, None, "does not fit, since it is no file of tensors"),
        ("end", 1, renamed, "does not fit its network (trained/"),
    ],
)
def test_a_whole_file_that_does_not_fit_its_training_is_told_of_and_done_without(
    tmp_path: Path, whole: dict, midway: tuple[Path, str], what: str, count: int, change: Callable | None, words: str
) -> None:
    folder, run = midway
    shutil.copytree(folder, tmp_path / "copy")
    bench = Bench(tmp_path / "copy")
    found = [row[0] for row in bench.rows(WHERE[what], run)][:count]
    assert found
    for name in found:
        path = run_folder(bench.files, run) / name
        path.write_bytes(tensors.encode(*change(tensors.read(path))) if change else b"no tensors")
        bench.conn.execute("UPDATE checkpoints SET sha256 = ? WHERE path = ?", (sha256_of(path), name))
    attempt(bench, run)
    assert bench.state(run) == "finished"
    lines = [
        row[0] for row in bench.rows("SELECT message FROM log WHERE run = :run AND message LIKE '%before it'", run)
    ]
    assert len(lines) == len(found)
    assert all(words in line and "\n" not in line for line in lines), lines
    assert outcome(bench, run) == whole
    assert faults(bench, run) == []
    bench.conn.close()


@pytest.fixture(scope="module")
def halfway() -> tuple[Training, Checkpoint]:
    """A training, and it stopped between two epochs."""
    spec = Experiment.model_validate(SMALL | {"searches": {}, "arms": {"dense": {}}})
    job = Training(spec.network, Recipe(epochs=3), DATA.all(), 0, initialise(spec.network, DATA.shape, 10, 0), {})
    asked = iter(range(30))
    with pytest.raises(Stopped) as stopped:
        Trainer(DATA).train(job, should_stop=lambda: next(asked) == 29)
    return job, stopped.value.checkpoint


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_training_goes_on_from_a_checkpoint_of_another(
    halfway: tuple[Training, Checkpoint], data: st.DataObject
) -> None:
    job, saved = halfway
    trainer = Trainer(DATA)
    assert trainer.course([job], saved).step == saved.figures["step"]
    held, figures = dict(saved.tensors), dict(saved.figures)
    name = data.draw(st.sampled_from(sorted(held)))
    match data.draw(st.sampled_from(["less", "more", "dtype", "shape", "figure"])):
        case "less":
            del held[name]
        case "more":
            held[f"{name}.more"] = held[name]
        case "dtype":
            held[name] = held[name].to(torch.float16)
        case "shape":
            held[name] = held[name][None]
        case "figure":
            name = data.draw(st.sampled_from(["step", "seen", "images", "forward", "seconds", "used"]))
            figures[name] = data.draw(st.sampled_from(["x", {}, [1], *([-1, 10**9] if name == "step" else [])]))
            assume(name != "used" or figures[name])
    with pytest.raises(Unfit) as unfit:
        trainer.course([job], Checkpoint(held, figures))
    assert "\n" not in str(unfit.value)


def test_a_killed_run_does_not_train_again_what_its_checkpoint_holds(
    tmp_path: Path, midway: tuple[Path, str], whole: dict
) -> None:
    folder, run = midway
    shutil.copytree(folder, tmp_path / "copy")
    bench = Bench(tmp_path / "copy")
    ahead = "SELECT t.key, max(e.epoch) FROM epochs e JOIN trainings t ON t.id = e.training JOIN checkpoints c"
    ahead += " ON c.training = t.id WHERE t.run = :run AND t.state = 'running' AND c.step > 38 GROUP BY 1"
    before = dict(bench.rows(ahead, run))
    assert before
    sql = "SELECT t.key, e.epoch, e.id FROM epochs e JOIN trainings t ON t.id = e.training WHERE t.run = :run"
    first = {row[:2]: row[2] for row in bench.rows(sql, run) if row[0] in before and row[1] == 1}
    attempt(bench, run)
    after = {row[:2]: row[2] for row in bench.rows(sql, run)}
    assert {place: after[place] for place in first} == first, "their first epoch's rows are those of before"
    assert not told(bench, run, "going on from what was before it")
    bench.conn.close()


def test_a_run_goes_on_where_a_checkpoint_cannot_be_written_and_says_so(tmp_path: Path, whole: dict) -> None:
    bench = Bench(tmp_path)
    run = bench.create(SPEC)
    (run_folder(bench.files, run) / "live").touch()  # in the way of the folder
    attempt(bench, run)
    assert told(bench, run, "member 0 cannot be written: File exists: ")
    (run_folder(bench.files, run) / "live").unlink()
    assert outcome(bench, run) == whole
    assert faults(bench, run) == []
    bench.conn.close()


class Folder:
    """A run's files and rows, as its engine sees them."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder)
        spec = SMALL | {"searches": {}, "arms": {"dense": {}}}
        self.run = self.bench.create(spec)
        self.record = Recorder(Writer(self.bench.db), self.run, Experiment.model_validate(spec), self.bench.files)
        network = Experiment.model_validate(spec).network
        start = initialise(network, DATA.shape, 10, 0)
        self.job = Training(network, Recipe(epochs=1), DATA.all(), 0, start, {})
        self.record.requested(self.job, {"what": "arm", "arm": "dense", "seed": 0})
        self.record.flush()
        self.folder = run_folder(self.bench.files, self.run)

    def opened(self) -> Aside:
        """As the next engine finds it."""
        self.record.flush()
        return Aside(self.record, self.folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("aside"))


def content(step: int) -> bytes:
    return tensors.encode({"w": torch.full((5, 3), float(step))}, {"figures": f'{{"step": {step}}}'})


DAMAGES = st.one_of(
    st.none(),
    st.just("gone"),
    st.tuples(st.just("flip"), st.integers(0, 10_000), st.integers(0, 7)),
    st.tuples(st.just("cut"), st.integers(0, 10_000)),
    st.tuples(st.just("other"), st.binary(max_size=40)),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.integers(1, 1000), min_size=1, max_size=4, unique=True), damages=st.tuples(DAMAGES, DAMAGES))
def test_of_any_damaged_files_the_newest_whole_one_is_used_and_none_is_believed(place: Folder, steps, damages):
    aside, key, steps = place.opened(), place.job.key, sorted(steps)
    aside.clear()
    for step in steps:
        aside.keep(key, step, content(step))
    kept = place.opened()
    assert kept.step(key) == steps[-1]
    newest = list(reversed(steps))[:KEPT]
    files = [place.folder / "live" / f"{key}.{step}.safetensors" for step in newest]
    assert sorted((place.folder / "live").iterdir()) == sorted(files)
    for path, damage in zip(files, damages, strict=False):
        if damage == "gone":
            path.unlink()
        elif damage:
            held = bytearray(path.read_bytes())
            match damage:
                case "flip", where, bit:
                    held[where % len(held)] ^= 1 << bit
                case "cut", where:
                    del held[where % len(held) :]
                case "other", text:
                    held = bytearray(text)
            path.write_bytes(held)
    good = [step for step, damage in zip(newest, damages, strict=False) if damage is None]
    said = len(place.bench.rows("SELECT 1 FROM log", ""))
    held = kept.newest(key, "it")
    place.record.flush()
    found = len(place.bench.rows("SELECT 1 FROM log", "")) - said
    assert found == (newest.index(good[0]) if good else len(newest))
    if good:
        assert held is not None
        assert torch.equal(held[0]["w"], torch.full((5, 3), float(good[0])))
    else:
        assert held is None


def test_what_a_killed_engine_was_writing_is_removed_and_what_has_a_row_stays(place: Folder):
    aside = place.opened()
    aside.clear()
    aside.keep(place.job.key, 5, content(5))
    aside = place.opened()
    live = place.folder / "live"
    (live / f"{place.job.key}.9.safetensors").write_bytes(content(9))  # renamed, but its row was never written
    (live / f".{place.job.key}.9.safetensors.123").write_bytes(b"half")
    again = place.opened()
    assert [path.name for path in live.iterdir()] == [f"{place.job.key}.5.safetensors"]
    assert again.step(place.job.key) == 5


def test_what_cannot_be_cleared_up_stays_and_ends_no_run(place: Folder) -> None:
    aside = place.opened()
    aside.clear()
    steps = [5, 6, 7]
    for step in steps:
        aside.keep(place.job.key, step, content(step))
    place.record.flush()
    live = place.folder / "live"
    stuck, other = (live / f"{place.job.key}.{step}.safetensors" for step in steps[1:])
    stuck.unlink()
    stuck.mkdir()  # as good as a file that may not be removed, also for root
    aside.clear()
    assert (place.opened().step(place.job.key), stuck.exists(), other.exists()) == (None, True, False)
    draft = object_path(place.bench.files, "a" * 64).with_name(tensors.draft_of("x", place.run))
    draft.mkdir(parents=True)
    place.record.remove_drafts()
    stuck.rmdir()
    draft.rmdir()


@pytest.mark.parametrize("name", ["../../../diary", "live/../diary", "diary"])
def test_a_row_that_names_a_file_elsewhere_is_dropped_and_the_file_left_alone(place: Folder, name: str):
    place.opened().clear()
    diary = (place.folder / name).resolve()
    diary.write_text("dear diary")
    place.record.set_aside(place.job.key, {"path": name, "step": 9, "sha256": "0" * 64, "bytes": 1})
    aside = place.opened()
    assert aside.newest(place.job.key, "it") is None
    aside.clear()
    place.record.flush()
    assert diary.exists()
    assert place.bench.rows("SELECT path FROM checkpoints", "") == []
    assert place.bench.rows("SELECT message FROM log ORDER BY id DESC LIMIT 1", "") == [
        (f"not a file that a run sets aside: {name!r}: left alone",)
    ]
    diary.unlink()
