"""`tombola check`: stored answers are shown, and what is not answered yet is asked of a run that has ended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from store.answers import Check
from store.liveness import this_process
from store.writing import Writer
from tests.program import FinishedRun, Tombola
from tests.tui.answering import SENTENCE, answer, answer_all
from tui.commands.check import methods

RUN = "tiny"
IMP_OVER_COLT = ('this={arm = "ticket", search = "imp"}', 'that={arm = "ticket", search = "colt"}', "at=0.5")
CONTRAST = [word for text in IMP_OVER_COLT for word in ("--set", text)]


@pytest.fixture
def answered(finished_run: FinishedRun, copy: Tombola) -> Tombola:
    """A program whose run has answers with parts and curves beside those that its engine gave."""
    with Writer(copy.db) as writer:
        answer_all(writer, finished_run.id)
    return copy


def whole(tombola: Tombola) -> dict[str, Any]:
    """The run with all that an engine or a question would change."""
    with tombola.reader() as reader:
        return reader.run(reader.resolve(RUN))


def test_every_answer_is_shown_with_its_parts_in_the_width_there_is(answered: Tombola):
    text = answered("check", RUN, COLUMNS="80").stdout
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    for name in ("mask", "start", "equal-loss", "winning-ticket", "stability"):
        assert f"{name}: " in text
    assert "Is it a winning ticket, by all five conditions, over a grid of learning rates?" in words
    assert "≈ secondary: secondary prize of low" in words
    assert words.count(SENTENCE) == 4
    assert text.count("-0.12 ± 0.30 points        0.5             0.41") == 4
    assert "no verdict: there is no arm that trains longer" in words
    assert "┄ threshold 2" in text, "the curve"
    one = answered("check", RUN, "stability").stdout
    assert one.startswith("stability: ")
    assert "mask: " not in one


def test_answers_as_json_have_every_column(answered: Tombola):
    given = json.loads(answered("check", RUN, "--json").stdout)
    assert given["run"] == whole(answered)["id"]
    columns = set(Check.__dataclass_fields__) - {"points"} | {"query", "created"}
    assert all(set(row) == columns for row in given["checks"])
    assert {row["name"] for row in given["curves"]} == {"stability"}
    shown = json.loads(answered("show", RUN, "--json").stdout)
    assert (shown["checks"], shown["curves"]) == (given["checks"], given["curves"])
    assert {"checks", "curves"} <= set(shown["sql"])


def test_a_run_without_answers_says_what_can_be_asked(copy: Tombola):
    with Writer(copy.db) as writer:
        writer.execute("DELETE FROM checks")
    done = copy("check", RUN, COLUMNS="80")
    assert "has no answers yet" in done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    firsts = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert firsts == list(methods())
    assert json.loads(copy("check", RUN, "--json").stdout)["checks"] == []


def test_every_way_to_ask_is_said_in_one_question():
    assert set(methods()) >= {"contrast", "winning-ticket", "sanity", "correlation", "stability", "agreement"}
    assert all(words.endswith("?") and len(words) > 10 for words in methods().values())


@pytest.mark.parametrize("state", ["finished", "stopped", "failed", "paused"])
def test_a_question_asked_later_becomes_a_check_of_the_run_which_trains_nothing_twice(copy: Tombola, state: str):
    with Writer(copy.db) as writer:
        writer.execute("UPDATE runs SET state = ?", (state,))
    before = whole(copy)
    done = copy("check", RUN, "contrast", *CONTRAST)
    after = whole(copy)
    assert after["state"] == "finished"
    assert after["spec"]["checks"].pop("contrast")["at"] == 0.5
    assert after["spec"] == before["spec"]
    assert len(after["attempts"]) == len(before["attempts"]) + 1
    assert (after["images_done"], after["rounds"]) == (before["images_done"], before["rounds"])
    assert done.stdout.startswith("contrast\n  · none: ticket of imp over ticket of colt")
    assert "has finished" in done.stderr
    assert "ticket at" not in done.stderr, "what it logged before is not told again"
    assert copy("check", RUN, "contrast").stdout == done.stdout, "it is stored now"
    assert len(whole(copy)["attempts"]) == len(after["attempts"])


def test_a_check_is_asked_again_as_it_was_or_with_other_settings(copy: Tombola):
    with Writer(copy.db) as writer:
        writer.execute("UPDATE checks SET sentence = 'stale' WHERE name IN ('mask', 'start')")
    assert "stale" in copy("check", RUN, "mask").stdout
    assert "stale" not in copy("check", RUN, "mask", "--again").stdout
    given = json.loads(copy("check", RUN, "mask", "--set", "tolerance=7", "--json").stdout)
    assert {row["threshold"] for row in given["checks"]} == {7.0}
    assert whole(copy)["spec"]["checks"]["mask"]["tolerance"] == 7.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["stabilty"],
            "has no check 'stabilty'; did you mean stability? (checks: mask, start, equal-loss; ways to ask: ",
        ),
        (["sanity"], "checks.sanity.this: is missing (the ticket itself: an arm and its search)"),
        (["contrast"], "checks.contrast.this: is missing"),
        (["stability", "--set", "at=x"], 'must be a list, not "x"'),
        (["correlation", "--set", "sharr=0.1"], "did you mean share?"),
        (["correlation", "--set", "at"], "write it as key=value"),
        (["mask", "--set", 'this={arm = "none"}'], "no arm 'none'"),
        (["--again"], "go with the NAME of a check"),
        (["x\x1b[2J"], "has no check"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line_and_changes_nothing(copy: Tombola, arguments: list[str], words: str):
    before = whole(copy)
    done = copy("check", RUN, *arguments, code=2)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr
    assert whole(copy) == before


def test_a_run_that_is_running_is_asked_nothing(copy: Tombola):
    with Writer(copy.db) as writer:
        writer.execute("UPDATE runs SET state = 'running', ended = NULL")
        for key, value in this_process().items():
            writer.execute(f"UPDATE attempts SET ended = NULL, outcome = NULL, {key} = ?", (value,))
    before = whole(copy)
    done = copy("check", RUN, "contrast", *CONTRAST, code=1)
    assert done.stderr == f"tombola: {before['id']} is running: wait until it has ended, or pause it first\n"
    assert whole(copy)["spec"] == before["spec"]
    assert "mask: " in copy("check", RUN).stdout, "its answers can be read"


def test_a_dry_run_says_what_would_be_asked_and_writes_nothing(copy: Tombola):
    before = whole(copy)
    done = copy("check", RUN, "stability", "--set", 'steps=[0, "20 steps"]', "--dry-run")
    assert "\n[checks.stability]\n" in done.stdout
    assert 'steps     = ["0 epochs", "20 steps"]' in done.stdout
    assert "are trained anew" in done.stderr
    plan = json.loads(copy("check", RUN, "mask", "--set", "at=0.9", "--dry-run", "--json").stdout)
    assert plan["checks"]["mask"]["at"] == 0.9
    assert plan["trained_kept"] is False
    assert whole(copy) == before
    with Writer(copy.db) as writer:
        writer.execute("UPDATE runs SET spec = json_set(spec, '$.keep', 'all')")
    assert "all trained weights are kept" in copy("check", RUN, "stability", "--dry-run").stderr


def test_a_finished_run_is_resumed_for_a_question_only(copy: Tombola):
    assert "is finished: there is nothing to resume" in copy("resume", RUN, code=1).stderr


# What other commands tell of answers


def test_the_report_draws_the_curves_of_answers_with_their_query(answered: Tombola):
    report = answered("show", RUN, COLUMNS="80").stdout
    block = report.split("\nQuestions\n")[1]
    answers = [line for line in block.splitlines() if not line.startswith(("$", "  ", "FROM", "WHERE"))]
    assert max(map(len, answers)) <= 80
    assert "rise of the test error, points; mean of 3 seeds, 95 % interval" in block
    assert "● step 20  ▲ step 100  ┄ threshold 2" in block
    assert "place on the line" in block
    assert "check_curves" in block
    assert SENTENCE[:40] not in block, "a part with a verdict has its figures only"
    assert "no verdict: there is no arm that trains longer" in block


def test_a_report_of_many_arms_is_legible_at_eighty_columns(answered: Tombola):
    with Writer(answered.db) as writer:
        (run,) = writer.one("SELECT id FROM runs")
        for number in range(12):
            arm = {"run": run, "name": f"arm-with-a-long-name-{number}", "settings": {"recipe": {"lr": number}}}
            arm_id = writer.insert("arms", arm)
            writer.execute(
                "INSERT INTO evaluations (arm, ticket, seed, training, split, correct, count, created)"
                " SELECT ?, ticket, seed, training, split, correct, count, created FROM evaluations AS e"
                " JOIN arms AS a ON a.id = e.arm WHERE a.name = 'ticket'",
                (arm_id,),
            )
    block = answered("show", RUN, COLUMNS="80").stdout.split("\nAccuracy\n")[1].split("\n$ tombola")[0]
    assert max(map(len, block.splitlines())) <= 80
    heads = [line.split() for line in block.splitlines() if line.startswith("round")]
    names = [name for head in heads for name in head if name.startswith("arm-")]
    assert sorted(names) == sorted(3 * [f"arm-with-a-long-name-{number}" for number in range(12)])
    assert all(head[:2] == ["round", "pruned"] for head in heads)
    assert heads[0][2] == "ticket", "the ticket itself comes first"
    assert sum(head[-2:] == ["images", "+tickets"] for head in heads) == 3


def test_the_curve_of_a_check_is_plotted_whole_or_for_one_part(answered: Tombola):
    lines = answered("plot", RUN, "--check", "stability", "--width", "60", "--height", "16").stdout.splitlines()
    assert len(lines) == 16
    assert max(map(len, lines)) <= 60
    assert lines[-1].split("  ")[:3] == ["● step 20", "▲ step 100", "┄ threshold 2"]
    series = json.loads(answered("plot", RUN, "--check", "stability", "--part", "step 100", "--json").stdout)
    assert [(one["label"], one["threshold"]) for one in series] == [("step 100", False), ("threshold 2", True)]
    assert series[0]["y"][:2] == pytest.approx([1.0, 2.44])
    assert series[0]["half_width"][0] == pytest.approx(4.302652729749 / 3**0.5)
    assert (series[0]["x_label"], series[0]["y_label"]) == ("place on the line", "rise of the test error, points")


def test_a_curve_that_is_not_there_is_said(answered: Tombola):
    assert "has no curve" in answered("plot", RUN, "--check", "mask").stderr
    assert json.loads(answered("plot", RUN, "--check", "mask", "--json").stdout) == []
    for arguments, words in (
        (["--check", "x"], "no answer to a check 'x' (answered: mask, "),
        (["--check", "stability", "--part", "x"], "no curve of 'x' (parts with one: step 20, step 100)"),
        (["--part", "x"], "--part goes with --check"),
        (["--check", "stability", "--x", "round"], "--check is drawn of one run"),
        (["--check", "stability", "--arm", "ticket"], "--check is drawn of one run"),
    ):
        assert words in answered("plot", RUN, *arguments, code=2).stderr


def test_an_export_holds_answers_and_curves(answered: Tombola):
    answered("export", RUN, "out", "--search", "colt", "--last")
    lines = {name: (answered.home / "out" / f"{name}.csv").read_text().splitlines() for name in
             ("checks", "curves", "curves-by-seed")}  # fmt: skip
    assert len([line for line in lines["checks"] if "winning-ticket" in line]) == 6
    assert len(lines["curves"]) == 1 + 22
    assert len(lines["curves-by-seed"]) == 1 + 66
    assert lines["curves-by-seed"][0] == "check,search,part,series,seed,x,y"


def test_what_an_engine_wrote_does_not_act_on_the_terminal(finished_run: FinishedRun, copy: Tombola):
    evil = "\x1b]0;owned\x07\x1b[2J\u202e"
    with Writer(copy.db) as writer:
        values = {"search": evil, "question": evil, "sentence": evil, "unit": evil, "figure": 1.0, "x": evil, "y": evil}
        for part in (evil, ""):
            answer(writer, finished_run.id, "x", "clear", part=part, points=[(evil, 0, 0.0, 1.0)], **values)
    for arguments in (["check", RUN], ["show", RUN], ["plot", RUN, "--check", "x"], ["check", RUN, "--json"]):
        done = copy(*arguments)
        assert not set(done.stdout + done.stderr) & set("\x1b\x07\u202e"), arguments
