"""Cards are found, named, chosen and reserved; a stand-in for the driver is in `driver/pynvml.py`."""

import getpass
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine import cards, devices
from engine.cards import Card
from tests.engine.running import SPEC
from tui.commands import doctor

DRIVER = Path(__file__).parent / "driver"
A, B, C = (f"GPU-{letter * 8}-0000-4000-8000-000000000000" for letter in "abc")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Driver:
    """What the driver of this test tells, now and after each `tell`."""

    def __init__(self, folder: Path) -> None:
        self.file, self.runtime = folder / "driver.json", folder / "runtime"
        self.runtime.mkdir(mode=0o700)

    def tell(self, *found: dict | None, **more) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps({"cards": found} | more))
        new.replace(self.file)

    @property
    def environment(self) -> dict[str, str]:
        own = {"FAKE_DRIVER": str(self.file), "XDG_RUNTIME_DIR": str(self.runtime), "PYTHONPATH": str(DRIVER)}
        return {k: v for k, v in os.environ.items() if not k.startswith("CUDA_")} | own


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A machine with cards, for this process and those that it starts."""
    driver = Driver(tmp_path)
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in driver.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(DRIVER))
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(cards, "_held", {})
    yield driver
    for file in cards._held.values():
        os.close(file)
    sys.modules.pop("pynvml", None)


def card(uuid=A, free=70e9, **more) -> dict:
    return {"uuid": uuid, "name": f"Card {uuid[4]}", "free": free} | more


@contextmanager
def process(code: str, *arguments: str, **options):
    """Another Python process; ended afterwards."""
    options = {"stdout": subprocess.PIPE, "text": True} | options
    other = subprocess.Popen([sys.executable, "-c", code, *arguments], **options)
    try:
        yield other
    finally:
        other.kill()
        other.wait()


SLEEP = "import time; time.sleep(100)"

# CUDA_VISIBLE_DEVICES

WHOLE = [Card(A, "a"), Card(B, "b"), Card(C, "c")]


@given(st.text() | st.text("0123,-GPUMIGabc "))
def test_any_text_for_visible_devices_leaves_some_of_the_cards_each_once(text):
    found = cards.visible(WHOLE, text)
    assert set(found) <= set(WHOLE)
    assert len(set(found)) == len(found)


@given(st.lists(st.integers(-2, 4), min_size=1, unique=True))
def test_numbers_choose_cards_in_their_order_up_to_the_first_that_is_none(numbers):
    valid = [0 <= number < 3 for number in numbers]
    until = valid.index(False) if False in valid else len(numbers)
    text = ", ".join(map(str, numbers))
    assert cards.visible(WHOLE, text) == tuple(WHOLE[number] for number in numbers[:until])


@given(st.lists(st.tuples(st.sampled_from(WHOLE), st.integers(5, 40)), unique_by=lambda chosen: chosen[0].uuid))
def test_first_letters_of_a_uuid_choose_its_card(chosen):
    text = ",".join(card.uuid[:length] for card, length in chosen)
    assert cards.visible(WHOLE, text) == tuple(card for card, _ in chosen)


def test_letters_that_two_cards_share_choose_none():
    assert cards.visible(WHOLE, "GPU-") == ()
    assert cards.visible(WHOLE, "") == cards.visible(WHOLE, "-1") == cards.visible(WHOLE, "NoDevFiles") == ()
    assert cards.visible(WHOLE, None) == tuple(WHOLE)


def test_instances_stand_for_the_card_that_was_cut_up():
    one, two = Card("MIG-1111", "1g", whole=A), Card("MIG-2222", "1g", whole=A)
    cut = [one, two, Card(B, "b")]
    assert cards.visible(cut, "1,0") == (cut[2], one, two)
    assert cards.visible(cut, "MIG-2") == (two,)
    assert cards.visible(cut, f"{A},{B}") == tuple(cut)
    assert cards.named(cut, "GPU-a") == [one, two]


def test_the_order_is_cudas_and_what_it_does_not_tell_comes_last():
    assert [card.name for card in cards.ordered(WHOLE, [C[4:], A])] == ["c", "a", "b"]


def test_only_a_number_among_several_cards_asks_cuda_for_its_order(driver, monkeypatch):
    asked = []
    told = json.dumps([{"name": "c", "uuid": uuid[4:], "total": 1} for uuid in (B, A)])
    monkeypatch.setattr(cards, "_asked", lambda *words, environment: asked.append(environment) or told)
    driver.tell(card(A), card(B))
    assert devices.resolve("auto").device == A
    assert devices.resolve("GPU-b").device == B
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert devices.resolve("cuda:1").device == B
    assert asked == []
    monkeypatch.delenv("CUDA_DEVICE_ORDER")
    assert devices.resolve("cuda:1").device == A
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert devices.resolve("cuda:0").device == B
    assert ["CUDA_VISIBLE_DEVICES" in environment for environment in asked] == [False, False]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"{B},{A}")
    assert devices.resolve("cuda:1").device == A
    assert len(asked) == 2


# What the driver tells


def test_cards_come_in_the_order_of_the_bus_with_their_instances_and_without_those_kept_from_us(driver):
    instances = [{"uuid": "MIG-1", "name": "1g", "free": 9e9}, {"uuid": "MIG-2", "name": "1g", "free": 8e9}]
    driver.tell(card(B, bus="0:2"), None, card(A, bus="0:1", instances=instances), card(C, bus="0:3", free=70e9))
    seen = cards.look()
    assert [(one.uuid, one.whole) for one in seen.cards] == [("MIG-1", A), ("MIG-2", A), (B, ""), (C, "")]
    assert [one.free for one in seen.cards] == [9e9, 8e9, 70e9, 70e9]


def test_a_driver_that_never_answers_is_not_waited_for(driver, monkeypatch):
    monkeypatch.setattr(cards, "NVML_SECONDS", 0.2)
    monkeypatch.setattr(cards, "_torch_cards", lambda: [{"name": "Card", "uuid": "", "total": 1}])
    driver.tell(card(), seconds=2)
    chosen = devices.resolve("auto")
    assert (chosen.device, chosen.words) == ("cuda:0", "Card (cuda:0)")
    assert "did not answer" in chosen.note
    assert "who else computes on a card is not known" in chosen.note


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"error": 9}, "the NVIDIA driver is installed but not loaded"),
        ({"error": 999}, "NVML does not answer: error 999; torch says: exit code 1"),
        ({"cuda": 12040, "driver": "550.54"}, "the NVIDIA driver 550.54 is too old: it knows CUDA up to 12.4, torch"),
        ({"built": None}, "is built without CUDA"),
    ],
)
def test_cards_that_torch_cannot_use_leave_the_cpu_and_are_refused_by_name_both_with_the_reason(
    driver, monkeypatch, told, words
):
    monkeypatch.setattr(sys, "executable", "/bin/false")  # so quickly does a torch without a card end
    driver.tell(card(), **told)
    chosen = devices.resolve("auto")
    assert chosen.device == "cpu"
    assert words in chosen.note
    for device in ("cuda", "cuda:0", A):
        with pytest.raises(devices.DeviceError, match="is not there") as refused:
            devices.resolve(device)
        assert words in str(refused.value)


def test_a_driver_of_the_same_major_version_is_new_enough(driver):
    driver.tell(card(), cuda=13000, built="13.2")
    assert devices.resolve("auto").device == A


# Choosing


def test_auto_takes_the_card_with_most_free_memory_of_those_that_nobody_else_uses(driver):
    with process(SLEEP) as other:
        driver.tell(card(A, 10e9), card(B, 70e9), card(C, 79e9, processes=[[other.pid, 1e9]]))
        assert devices.resolve("auto").device == devices.resolve("cuda").device == B
        assert devices.resolve("auto", prefer=A).device == A
        assert devices.resolve("auto", prefer=C).device == B


def test_this_process_and_the_forecasts_of_others_do_not_count_as_use(driver):
    with process(SLEEP, "engine", "plan") as other:
        driver.tell(card(processes=[[os.getpid(), 1e9], [other.pid, 1e9]]))
        assert devices.resolve("auto").device == A


def test_where_none_is_free_the_error_names_who_uses_them_and_what_to_do(driver):
    driver.tell(card(A, processes=[[1, 12.34e9]]), card(B, processes=[[2**22 + 1, None]]))
    with pytest.raises(devices.Busy) as busy:
        devices.resolve("auto")
    words = str(busy.value)
    assert "Card a (GPU-aaaaaaaa): pid 1 of root with 12.3 GB; Card b (GPU-bbbbbbbb): pid 4194305; " in words
    assert words.endswith("wait for one with --wait, name one with --device, or take --device cpu")


def test_a_card_that_was_named_is_taken_whoever_uses_it(driver):
    driver.tell(card(processes=[[1, 1e9]]))
    for name in ("cuda:0", A, "GPU-a", "gpu-AAAA"):
        assert devices.resolve(name, hold=True).device == A


@pytest.mark.parametrize("name", ["cuda:2", "GPU-c", "cuda:", "cuda:x", "abacus", "", "GPU", "0"])
def test_a_card_that_is_not_there_is_refused_with_those_that_are(driver, monkeypatch, name):
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    driver.tell(card(A), card(B))
    with pytest.raises(devices.DeviceError, match=r"cuda:0 = Card a \(GPU-aaaaaaaa\), cuda:1 = Card b"):
        devices.resolve(name)
    with pytest.raises(devices.DeviceError, match=f"{A} or {B}: write more"):
        devices.resolve("GPU-")


def test_cards_that_the_environment_hides_are_not_used(driver, monkeypatch):
    driver.tell(card(A, 79e9), card(B, 1e9))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert devices.resolve("auto").device == B
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.resolve("auto") == devices.Where("cpu", "cpu", "CUDA_VISIBLE_DEVICES= leaves no card")


def test_waiting_says_once_for_what_and_ends_when_a_card_is_free(driver, monkeypatch):
    told = []
    answers = iter([[card(processes=[[1, 1e9]])]] * 2 + [[card()]])
    monkeypatch.setattr(time, "sleep", lambda seconds: driver.tell(*next(answers)))
    driver.tell(card(processes=[[1, 1e9]]))
    assert devices.resolve("auto", hold=True, wait=told.append).device == A
    assert told == ["no card is free, waiting for one: Card a (GPU-aaaaaaaa): pid 1 of root with 1 GB"]


def test_a_card_whose_user_is_leaving_is_waited_for_a_little(driver, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: driver.tell(card()))
    driver.tell(card(processes=[[1, 1e9]]))
    assert devices.resolve("auto", patience=5).device == A


# Reservations

START = f"""
import sys
sys.path.insert(0, {str(DRIVER)!r})
import torch
torch.version.cuda = "13.0"
from engine import cards, devices
print(flush=True)
sys.stdin.readline()
try:
    print(devices.resolve("auto", hold=True).device, flush=True)
except devices.Busy as busy:
    print("busy", busy, flush=True)
sys.stdin.readline()
"""


def test_starts_of_one_moment_take_different_cards_and_free_them_however_they_end(driver):
    found = [f"GPU-{number}" for number in range(3)]
    driver.tell(*(card(uuid) for uuid in found))
    options = {"stdin": subprocess.PIPE, "env": driver.environment, "stdout": subprocess.PIPE, "text": True}
    starts = [subprocess.Popen([sys.executable, "-c", START], **options) for _ in range(4)]
    try:
        for start in starts:
            start.stdout.readline()
        for start in starts:
            start.stdin.write("\n")
            start.stdin.flush()
        chosen = [start.stdout.readline().strip() for start in starts]
        assert sorted(chosen)[:3] == found
        assert "taken by a run of yours" in max(chosen)
        with pytest.raises(devices.Busy):
            devices.resolve("auto")
        ended = chosen.index("GPU-1")
        starts[ended].kill()
        starts[ended].wait()
        assert devices.resolve("auto").device == "GPU-1"
    finally:
        for start in starts:
            start.kill()
            start.wait()


def test_a_forecast_keeps_its_card_for_its_run_alone_and_not_for_long(driver, monkeypatch):
    driver.tell(card(A, 70e9), card(B, 60e9))
    forecast = "import sys\nsys.path.insert(0, '')\nfrom engine import cards\ncards.take(sys.argv[1])"
    with process(f"{forecast}\nprint(cards.promise(sys.argv[1]))", A, env=driver.environment) as other:
        claim = other.communicate()[0].strip()
    assert claim.startswith(A)
    assert devices.resolve("auto").device == B
    driver.tell(card(A, 50e9), card(B, 60e9))
    assert devices.resolve("auto", hold=True, claim=claim).device == A
    os.close(cards._held.pop(A))
    with process(f"{forecast}\ncards.promise(sys.argv[1])", A, env=driver.environment) as other:
        other.communicate()
    driver.tell(card(A))
    with pytest.raises(devices.Busy):
        devices.resolve("auto")
    later = time.time() + cards.PROMISE_SECONDS
    monkeypatch.setattr(cards.time, "time", lambda: later)
    assert devices.resolve("auto").device == A


def test_a_card_that_one_run_was_told_to_use_is_not_taken_by_another_on_its_own(driver):
    driver.tell(card(A, 79e9), card(B, 1e9))
    with process(START.replace('"auto"', repr(A)), env=driver.environment, stdin=subprocess.PIPE) as other:
        other.stdin.write("\n")
        other.stdin.flush()
        assert [other.stdout.readline().strip() for _ in range(2)] == ["", A]
        assert devices.resolve("auto").device == B
        assert devices.resolve(A, hold=True).device == A


def test_where_nothing_can_be_locked_the_driver_alone_decides(driver, monkeypatch):
    driver.tell(card())
    monkeypatch.setattr(cards, "user_runtime_path", lambda *_, **__: Path("/proc/none"))
    assert devices.resolve("auto", hold=True).device == A


# The program


def test_a_run_fails_before_anything_is_written_where_no_card_is_free(driver, tombola):
    driver.tell(card(processes=[[os.getpid(), 1e9]]))
    done = tombola("run", "digits-demo", code=1, **environment(driver, tombola))
    assert f"pid {os.getpid()} of {getpass.getuser()} with 1 GB; wait for one with --wait" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not tombola.db.exists()


def test_an_interrupt_ends_the_wait_and_leaves_nothing(driver, tombola):
    driver.tell(card(processes=[[os.getpid(), 1e9]]))
    with waiting(driver, tombola) as run:
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=30) == 130
    assert not tombola.db.exists()


def test_a_run_that_waits_begins_when_it_can(driver, tombola):
    driver.tell(card(processes=[[os.getpid(), 1e9]]))
    with waiting(driver, tombola) as run:
        driver.tell()  # there is no card any more that it would have to wait for
        assert run.wait(timeout=60) == 0
        assert "trainings of 3 seeds on cpu" in run.stderr.read()
    assert run.stdout.read().startswith("digits-demo")


def environment(driver, tombola):
    """The program's, with the driver's added."""
    return driver.environment | tombola.environment | {"XDG_RUNTIME_DIR": str(driver.runtime)}


@contextmanager
def waiting(driver, tombola):
    """`tombola run --wait`, from when it says that it waits."""
    own = environment(driver, tombola)
    command = [tombola.command, "run", "digits-demo", "--wait", "--detach"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    run = subprocess.Popen(command, env=own, cwd=tombola.home, **pipes)
    try:
        words = run.stderr.readline()
        assert "no card is free, waiting for one: Card a (GPU-aaaaaaaa): pid" in words
        assert "Ctrl-C ends the wait" in words
        yield run
    finally:
        run.kill()
        run.wait()


def test_a_run_that_goes_on_says_who_uses_the_cards(driver, tombola):
    driver.tell()
    own = environment(driver, tombola)
    run = tombola("run", "digits-demo", "--detach", "--set", "recipe.epochs=100000", **own).stdout.strip()
    tombola("stop", run)
    tombola("wait", run, code=None)
    driver.tell(card(processes=[[os.getpid(), 1e9]]))
    tombola("resume", run, **own)
    tombola("wait", run, code=None)
    shown = json.loads(tombola("runs", "--json").stdout)[0]
    assert shown["state"] == "failed"
    assert f"pid {os.getpid()}" in shown["message"]
    assert f"tombola resume {run} when one is" in shown["message"]


@pytest.mark.parametrize(
    ("told", "state", "words"),
    [
        ({"cuda": 12040}, "unwell", "is too old: it knows CUDA up to 12.4"),
        ({}, "wrong", "FAILED: torch says: "),
    ],
)
def test_the_doctor_explains_what_keeps_torch_from_a_card(driver, tombola, told, state, words):
    driver.tell(card(), **told)
    own = environment(driver, tombola)
    found = json.loads(tombola("doctor", "--json", code=None, **own).stdout)
    gpus = [finding for finding in found if finding["what"] == "gpu"]
    assert [words in finding["words"] for finding in gpus if finding["state"] == state] == [True]
    assert f"Card a, {A}, driver 580.65, 70 GB of 80 GB free" in gpus[0]["words"]


def test_the_doctor_tells_a_card_in_use_from_one_that_is_broken():
    one = {"name": "Card", "uuid": A, "total": 80e9, "free": 1e9, "users": [], "fault": ""}
    seen = {"driver": "580", "fault": "", "note": "", "cards": [one]}
    words = f"Card, {A}, driver 580, 1 GB of 80 GB free"
    used = one | {"users": ["pid 1 of root"], "fault": "out of memory"}
    blind = one | {"free": None}
    assert [(finding.state, finding.words) for given in (
        seen,
        seen | {"cards": [used]},
        seen | {"cards": [blind], "note": "who else computes on a card is not known"},
        seen | {"cards": [], "note": "the NVIDIA driver is installed but not loaded"},
        seen | {"cards": []},
    ) for finding in doctor._cards(given)] == [
        ("well", f"{words}; computes"),
        ("unwell", f"{words}, used by pid 1 of root; FAILED: out of memory"),
        ("well", f"Card, {A}, driver 580, 80 GB; computes"),
        ("unwell", "who else computes on a card is not known"),
        ("unwell", "the NVIDIA driver is installed but not loaded"),
        ("well", "none that the NVIDIA driver knows of"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "RuntimeError: The NVIDIA driver on your system is too old (found version 11040). Please update your GPU",
            "torch says: The NVIDIA driver on your system is too old (found version 11040); update the driver, or",
        ),
        ("RuntimeError: CUDA error: no kernel image is available for execution", "is not built for this card"),
        ("torch.AcceleratorError: CUDA error: out of memory", "CUDA error: out of memory"),
    ],
)
def test_what_torch_says_of_a_card_is_explained(words, told):
    assert told in cards.explained(words)


# With a card


@pytest.mark.gpu
@GPU
def test_one_operation_on_each_card_works_and_torch_counts_them_as_we_do():
    seen = cards.look(by_index=True)
    assert seen.cards
    assert (seen.fault, seen.note) == ("", "")
    assert [cards.fault_of(card) for card in seen.cards] == ["" for _ in seen.cards]
    told = [one["uuid"][-36:] for one in cards._torch_cards()]
    assert told == [card.uuid[-36:] for card in seen.cards][: len(told)]


@pytest.mark.gpu
@GPU
def test_the_forecast_on_a_named_card_is_measured_there():
    card = cards.look().cards[0]
    command = [sys.executable, "-P", "-m", "engine", "plan", "-", "--json", "--device", card.uuid]
    done = subprocess.run(command, input=json.dumps(SPEC), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    forecast = json.loads(done.stdout)
    assert (forecast["device"], forecast["where"]) == (card.uuid, str(card))
