"""The hardest samples: how images become half blocks, and what `tombola samples` prints of a round."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import subprocess
from contextlib import suppress
from typing import Any

import pytest

from store.writing import Writer
from tests.program import FinishedRun, Tombola
from tests.tui.tracing import trace_all
from tui.gallery import Gallery, Sample, drawn, gallery, greys, short, wall

RUN = "tiny"


@pytest.fixture
def traced(finished_run: FinishedRun, copy: Tombola) -> Tombola:
    with Writer(copy.db) as writer:
        trace_all(writer, finished_run.id)
    return copy


def sample(index: int, *rows: tuple[int, ...]) -> Sample:
    return Sample(index, 1, "never learned", rows)


def test_two_rows_of_pixels_are_a_line_of_half_blocks_in_two_greys():
    (line, last) = drawn(sample(0, (0, 255), (255, 0), (128, 128)), colour=True)
    assert line.plain == "▀▀"
    assert [(str(span.style)) for span in line.spans] == ["color(232) on color(255)", "color(255) on color(232)"]
    assert str(last.spans[0].style) == "color(244) on color(232)", "below an odd last row it is black"


def test_without_colour_a_cell_is_the_shade_between_its_two_pixels():
    (line,) = drawn(sample(0, (0, 255, 255), (0, 255, 0)), colour=False)
    assert line.plain == " @="


def test_colours_become_their_brightness_and_large_images_are_averaged_to_fit():
    assert greys(bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]), (3, 1, 3)) == ((76, 150, 29),)
    assert greys(bytes([10, 20]), (2, 1, 1)) == ((15,),)
    whole = greys(bytes([0, 100] * 32 * 64), (1, 64, 64))
    assert (len(whole), len(whole[0])) == (21, 21)
    assert set(greys(bytes([0, 100] * 28 * 14), (1, 28, 28))[0]) == {0, 100}, "an image that fits is not touched"


def test_as_many_images_stand_side_by_side_as_fit_and_no_row_of_them_is_cut_off():
    some = tuple(sample(index, (255,) * 8, *((0,) * 8,) * 7) for index in range(5))
    shown = Gallery("prac", 0, 1, 5, some)
    lines = [line.plain.rstrip() for line in wall(shown, 45, None, colour=False)]
    assert lines[0].count("=" * 8) == 3
    assert lines[4].split("  ")[0] == "#0 is 1"
    assert lines[5].count("never learned") == 3
    assert len(lines) == 6 + 1 + 6
    assert len(wall(shown, 45, 12, colour=False)) == 6
    assert wall(shown, 45, 5, colour=False) == []
    assert wall(Gallery("prac", 0, 1), 45, None, colour=False) == []
    assert max(line.cell_len for line in wall(shown, 80, None, colour=True)) <= 80


def test_a_reason_is_short_enough_for_a_caption():
    assert [short(why) for why in ("forgotten 12 times", "forgotten in training", "never learned")] == [
        "forgotten 12×", "by training", "never learned",
    ]  # fmt: skip


def test_an_answer_says_whether_its_samples_are_the_hardest():
    answer: dict[str, Any] = {"search": "prac", "seed": 0, "round": 3, "size": 9, "shape": [1, 1, 1]}
    one = {"index": 4, "label": 2, "reason": "both", "forgotten": None, "image": base64.b64encode(b"a").decode()}
    first = gallery(answer | {"samples": [one]})
    assert first.title == "samples of the set of round 3"
    assert first.samples == (Sample(4, 2, "both", ((97,),)),)
    assert gallery(answer | {"samples": [one | {"forgotten": 2}]}).title == "hardest samples of round 3"


def test_the_hardest_samples_of_a_round_are_printed_hardest_first_with_their_images(traced: Tombola):
    done = traced("samples", RUN, COLUMNS="80")
    assert "asking the engine" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "colt seed 0, hardest samples of round 2; it chose 39 of digits"
    assert [line.split(maxsplit=2)[::2] for line in lines[2:5]] == [
        ["7", "never learned"], ["5", "forgotten 12 times"], ["3", "forgotten 2 times"],
    ]  # fmt: skip
    assert re.search(r"^#7 is \d +#5 is \d +#3 is \d$", done.stdout, re.MULTILINE)
    assert "\x1b" not in done.stdout
    found = json.loads(traced("samples", RUN, "--seed", "1", "--count", "1", "--json").stdout)
    assert (found["seed"], found["round"], [one["index"] for one in found["samples"]]) == (1, 2, [7])


def test_on_a_terminal_they_are_drawn_in_greys(traced: Tombola):
    terminal, end = pty.openpty()
    coloured = {name: value for name, value in traced.environment.items() if name != "NO_COLOR"}
    subprocess.run([traced.command, "samples", RUN], env=coloured, stdout=end, stderr=subprocess.PIPE, check=True)
    os.close(end)
    text = ""
    with suppress(OSError):
        while piece := os.read(terminal, 1 << 16):
            text += piece.decode(errors="replace")
    os.close(terminal)
    assert re.search("\x1b\\[38;5;2[345]\\d;48;5;2[345]\\dm▀\x1b\\[0m", text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--search", "imp"], "no set of search imp (there are: colt, matched)"),
        (["--round", "9"], "no set of round 9 (there are: 1, 2)"),
        (["--seed", "9"], "no set of seed 9 (there are: 0, 1)"),
    ],
)
def test_a_set_that_is_not_there_is_said_in_one_line(traced: Tombola, arguments: list[str], words: str):
    assert traced("samples", RUN, *arguments, code=2).stderr.splitlines()[-1].endswith(words)


def test_a_run_that_chooses_no_samples_has_none_to_show(finished_run: FinishedRun):
    assert "no search that chooses samples" in finished_run.tombola("samples", RUN, code=2).stderr
