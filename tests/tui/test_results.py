"""What commands tell of a finished run: figures with the SQL that gives them, tables, plots, files for elsewhere."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from store.connection import connect
from store.writing import Writer
from tests.program import FinishedRun, Tombola

RUN = "tiny"  # what the finished run is called; its id begins with that


def test_runs_are_listed_with_how_they_stand(finished_run: FinishedRun):
    tombola = finished_run.tombola
    (row,) = json.loads(tombola("runs", "--json").stdout)
    assert (row["id"], row["state"], row["seeds"], row["rounds"]) == (finished_run.id, "finished", 2, 12)
    head, line = tombola("runs").stdout.splitlines()
    assert head.split()[:3] == ["run", "state", "done"]
    assert line.split()[:4] == [finished_run.id, "finished", "100", "%"]
    assert tombola("runs", "--where", "seeds > 2", "--json").stdout == "[]\n"
    assert json.loads(tombola("runs", "--where", "state = 'finished' AND seeds = 2", "--json").stdout)


def test_a_run_is_named_by_any_first_letters_that_only_it_has(finished_run: FinishedRun, copy: Tombola):
    assert json.loads(copy("show", "ti", "--json").stdout)["id"] == finished_run.id
    conn = connect(copy.db)
    conn.execute("CREATE TEMP TABLE other AS SELECT * FROM runs")
    conn.execute("UPDATE other SET id = 'tiny-zzzz'")
    conn.execute("INSERT INTO runs SELECT * FROM other")
    conn.close()
    words = copy("show", "tiny", code=2).stderr
    assert finished_run.id in words
    assert "tiny-zzzz" in words
    assert "no run begins with 'x'" in copy("show", "x", code=2).stderr


def test_the_report_holds_every_block_and_each_query_in_it_can_be_run_from_a_shell(finished_run: FinishedRun):
    tombola = finished_run.tombola
    report = tombola("show", RUN, COLUMNS="100").stdout
    titles = ("Accuracy", "Accuracy against sparsity", "What a sparsity cost", "Overlap of members", "Loss a round")
    for title in (*titles, "Found masks against random ones", "Questions"):
        assert f"\n{title}\n" in report
    assert "\x1b" not in report
    assert "one image of 300 is worth 0.33" in report
    assert "colt conv:" in report
    assert "the rate allows 30 to 60 %, none outside" in report
    assert "matched removed as many weights as colt, one for one, in 4 of 4 rounds and kinds" in report
    assert "visibly worse" in report

    queries = re.findall(r'^\$ (tombola query "[^"]*")$', report, re.MULTILINE)
    assert len(queries) == 8
    folder = Path(tombola.command).parent
    for query in queries:
        done = subprocess.run(
            ["bash", "-c", f"PATH={folder}:$PATH {query} --json"],
            env=tombola.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout), query


def test_the_figures_of_the_report_are_those_of_the_store(finished_run: FinishedRun):
    shown = json.loads(finished_run.tombola("show", RUN, "--json").stdout)
    with finished_run.tombola.reader() as reader:
        assert shown["spec"] == reader.run(finished_run.id)["spec"]
        tested = [row for row in reader.tickets(finished_run.id) if row["split"] == "test"]
    for row in shown["accuracy"]:
        key = ("search", "arm", "round")
        each = [one["accuracy"] for one in tested if all(one[name] == row[name] for name in key)]
        assert row["seeds"] == len(each)
        assert row["accuracy"] == pytest.approx(sum(each) / len(each))
    for row in shown["loss"]:
        if row["least"] is not None:
            assert row["least"] - 0.01 <= row["lowest"] <= row["highest"] <= row["most"] + 0.01
            assert row["outside"] == 0
    for row in shown["controls"]:
        pairs = {}
        for one in tested:
            if (one["search"], one["round"]) == (row["search"], 2):
                pairs.setdefault(one["arm"], {})[one["seed"]] = one["accuracy"]
        differences = [pairs["ticket"][seed] - pairs[row["arm"]][seed] for seed in pairs["ticket"]]
        assert row["difference"] == pytest.approx(sum(differences) / 2)
        assert row["half_width"] == pytest.approx(12.706205 * abs(differences[0] - differences[1]) / 2, rel=1e-5)


@pytest.mark.parametrize("x", ["sparsity", "cost", "round"])
def test_a_plot_shows_every_search_and_the_dense_network(finished_run: FinishedRun, x: str):
    tombola = finished_run.tombola
    lines = tombola("plot", RUN, "--x", x, "--width", "70", "--height", "18").stdout.splitlines()
    assert len(lines) == 18
    assert max(map(len, lines)) <= 70
    for label in ("colt", "imp", "matched", "dense"):
        assert any(label in line for line in lines[-3:])
    series = {one["label"]: one for one in json.loads(tombola("plot", RUN, "--x", x, "--json").stdout)}
    assert set(series) == {"colt", "imp", "matched", "dense"}
    assert len(series["colt"]["x"]) == 2
    if x == "cost":
        assert series["colt"]["x"] == [1197.0, 2394.0]


def test_a_plot_of_other_arms_and_with_evaluation_counted(finished_run: FinishedRun):
    tombola = finished_run.tombola
    shuffled = json.loads(tombola("plot", RUN, "--arm", "shuffled", "--json").stdout)
    assert [len(one["x"]) for one in shuffled if one["label"] != "dense"] == [1, 1, 1]
    dearer = json.loads(tombola("plot", RUN, "--x", "cost", "--with-evaluation", "--json").stdout)
    assert dearer[0]["x"] == [2394.0, 4788.0]
    assert (
        "has no arm 'x' with tickets (arms: reinit, shuffled, ticket)"
        in tombola("plot", RUN, "--arm", "x", code=2).stderr
    )
    assert tombola("plot", RUN, "--ascii", "--width", "60").stdout.isascii()


PUBLISHED = {
    "su": {
        "label": "smart-ratio random",
        "source": "Su et al. 2020",
        "sparsity": [0.0, 0.5, 0.98],
        "accuracy": [0.5, 0.4321, 0.3],
    }
}


@pytest.fixture
def published(copy: Tombola) -> Tombola:
    """A program whose run has figures of a paper beside its own."""
    with Writer(copy.db) as writer:
        writer.execute("UPDATE runs SET spec = json_set(spec, '$.published', json(?))", (json.dumps(PUBLISHED),))
    return copy


def test_what_a_paper_prints_is_drawn_apart_from_what_was_measured(published: Tombola):
    plain = published("plot", RUN, "--width", "70", "--height", "20").stdout
    assert "× published: smart-ratio random, Su et al. 2020" in plain
    assert plain.count("×") > 1
    ascii_only = published("plot", RUN, "--width", "70", "--height", "20", "--ascii").stdout
    assert ascii_only.isascii()
    assert "^ published: smart-ratio random, Su et al. 2020" in ascii_only
    *measured, paper = json.loads(published("plot", RUN, "--json").stdout)
    assert [one["published"] for one in measured] == [False] * 4
    assert (paper["label"], paper["published"]) == ("published: smart-ratio random, Su et al. 2020", True)
    assert (paper["y"], paper["half_width"]) == ([50.0, 43.21, 30.0], None)


@pytest.mark.parametrize("x", ["cost", "round"])
def test_what_a_paper_prints_has_no_cost_and_no_round(published: Tombola, x: str):
    done = published("plot", RUN, "--x", x, "--width", "70", "--height", "18")
    assert "published" not in done.stdout
    assert done.stderr == f"published figures are not drawn: their {x} is not known\n"
    assert not any(one["published"] for one in json.loads(published("plot", RUN, "--x", x, "--json").stdout))


def test_equal_figures_of_a_paper_are_drawn_once_for_several_runs(finished_run: FinishedRun, published: Tombola):
    conn = connect(published.db)
    conn.execute("CREATE TEMP TABLE other AS SELECT * FROM runs")
    conn.execute("UPDATE other SET id = 'other-zzzz'")
    conn.execute("INSERT INTO runs SELECT * FROM other")
    conn.close()
    drawn = json.loads(published("plot", finished_run.id, "other-zzzz", "--json").stdout)
    assert [one["label"] for one in drawn if one["published"]] == ["published: smart-ratio random, Su et al. 2020"]
    assert "nothing was evaluated yet" in published("plot", "other-zzzz").stderr


def test_what_a_paper_prints_is_a_block_of_its_own_with_its_query_and_in_no_other(
    finished_run: FinishedRun, published: Tombola
):
    report = published("show", RUN, COLUMNS="100").stdout
    _, block = report.split("\nPublished, not measured here\n")
    lines = block.split("\n$ tombola")[0].splitlines()
    assert lines[0] == "smart-ratio random: Su et al. 2020"
    assert [line.split() for line in lines[1:]] == [
        ["pruned,", "%", "0", "50", "98"],
        ["accuracy,", "%", "50", "43.21", "30"],
    ]
    assert re.search(r"× published: smart-ratio random", report)

    queries = re.findall(r'^\$ (tombola query "[^"]*")$', report, re.MULTILINE)
    (query,) = [query for query in queries if "published" in query]
    done = subprocess.run(
        ["bash", "-c", f"PATH={Path(published.command).parent}:$PATH {query} --json"],
        env=published.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [(row["sparsity"], row["accuracy"]) for row in json.loads(done.stdout)] == [
        (0.0, 0.5),
        (0.5, 0.4321),
        (0.98, 0.3),
    ]

    blocks, without = (re.split(r"\n(?=[A-Z][a-z ,]+\n)", text) for text in (report, shown(finished_run)))
    titles = ("Accuracy against", "Published")
    assert [b for b in blocks if not b.startswith(titles)] == [b for b in without if not b.startswith(titles)]


def shown(finished: FinishedRun) -> str:
    return finished.tombola("show", RUN, COLUMNS="100").stdout


def test_many_figures_of_a_paper_are_broken_into_the_width_there_is(copy: Tombola):
    figures = [round(0.5 + 0.01 * number, 2) for number in range(40)]
    table = {"many": {"label": "many", "source": "a paper", "sparsity": figures, "accuracy": figures}}
    with Writer(copy.db) as writer:
        writer.execute("UPDATE runs SET spec = json_set(spec, '$.published', json(?))", (json.dumps(table),))
    report = copy("show", RUN, COLUMNS="80").stdout
    lines = report.split("\nPublished, not measured here\n")[1].split("\n$ tombola")[0].splitlines()
    assert max(map(len, lines)) <= 80
    pruned = [figure for line in lines if line.startswith("pruned, %") for figure in line.split()[2:]]
    assert pruned == [f"{100 * figure:.6g}" for figure in figures]


def test_a_query_prints_a_table_json_or_csv(finished_run: FinishedRun, tmp_path: Path):
    tombola = finished_run.tombola
    sql = "SELECT name, method, 1.5 AS x, NULL AS empty FROM searches ORDER BY id"
    table = tombola("query", sql).stdout.splitlines()
    assert table[0].split() == ["name", "method", "x", "empty"]
    assert table[1].split() == ["colt", "colt", "1.5", "NULL"]
    whole = json.loads(tombola("query", sql, "--json").stdout)
    assert whole[2] == {"name": "matched", "method": "imp", "x": 1.5, "empty": None}
    rows = list(csv.reader(io.StringIO(tombola("query", sql, "--csv").stdout)))
    assert rows[1] == ["colt", "colt", "1.5", ""]
    (tmp_path / "q.sql").write_text(sql + ";\n-- said\n")
    assert json.loads(tombola("query", "-f", str(tmp_path / "q.sql"), "--json").stdout) == whole
    assert json.loads(tombola("query", "-f", "-", "--json", stdin=sql).stdout) == whole


def test_what_a_table_leaves_out_is_said(finished_run: FinishedRun):
    tombola = finished_run.tombola
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) SELECT i FROM n"
    done = tombola("query", many)
    assert len(done.stdout.splitlines()) == 1001
    assert "only the first 1000 rows" in done.stderr
    assert len(json.loads(tombola("query", many, "--json").stdout)) == 1500
    long = tombola("query", "SELECT printf('%.100c', 'x') AS x")
    assert "1 long values are cut short" in long.stderr
    assert "cut short" not in tombola("query", "SELECT printf('%.100c', 'x') AS x", "--csv").stderr


def test_json_of_a_query_keeps_columns_of_one_name(finished_run: FinishedRun):
    rows = json.loads(finished_run.tombola("query", "SELECT 1 AS a, 2 AS a, x'00ff' AS b", "--json").stdout)
    assert rows == [{"a": 1, "a:2": 2, "b": "00ff"}]


def test_a_query_that_writes_changes_nothing(copy: Tombola):
    before = copy("query", "SELECT * FROM runs", "--json").stdout
    for sql in ("DELETE FROM runs", "UPDATE runs SET name = 'x'", "DROP TABLE runs", "CREATE TABLE t (x)", "VACUUM"):
        assert "only what reads is allowed" in copy("query", sql, code=2).stderr
    assert copy("query", "SELECT * FROM runs", "--json").stdout == before


def test_the_schema_explains_every_table(tombola: Tombola):
    schema = json.loads(tombola("schema", "--json").stdout)
    text = tombola("schema").stdout
    assert {"runs", "evaluations", "accuracy_by_sparsity"} <= set(schema)
    assert all(name in text for name in schema)


# Export


def test_an_exported_ticket_is_used_from_plain_pytorch(finished_run: FinishedRun, tmp_path: Path):
    folder = tmp_path / "out"
    finished_run.tombola("export", RUN, str(folder))
    mask, start = load_file(folder / "colt-1-2/mask.safetensors"), load_file(folder / "colt-1-2/start.safetensors")
    card = json.loads((folder / "colt-1-2/card.json").read_text())
    assert {kind.dtype for kind in mask.values()} == {torch.bool}
    assert sum(int(keep.sum()) for keep in mask.values()) == card["ticket"]["remaining"]
    assert 1 - card["ticket"]["remaining"] / card["ticket"]["prunable"] == pytest.approx(card["ticket"]["sparsity"])

    class Network(nn.Module):
        """The card's network, written by somebody who has no Tombola."""

        def __init__(self, *widths: int) -> None:
            super().__init__()
            for number, (before, after) in enumerate(zip((1, *widths), widths, strict=False), 1):
                self.add_module(f"conv{number}", nn.Conv2d(before, after, 3, padding=1, bias=False))
                self.add_module(f"norm{number}", nn.BatchNorm2d(after))
            self.head = nn.Linear(widths[-1], 10)

    assert card["experiment"]["network"]["name"] == "conv3"
    network = Network(*(start[f"conv{number}.weight"].shape[0] for number in (1, 2, 3)))
    network.load_state_dict(start)
    parameters = dict(network.named_parameters())
    for name, keep in mask.items():
        parameters[name].data.mul_(keep)
        assert int((parameters[name] != 0).sum()) == int(keep.sum())


def test_an_export_holds_every_ticket_and_the_results(finished_run: FinishedRun, tmp_path: Path):
    folder = tmp_path / "deep" / "out"
    finished_run.tombola("export", RUN, str(folder))
    names = {
        f"{search}-{seed}-{number}" for search in ("colt", "imp", "matched") for seed in (0, 1) for number in (1, 2)
    }
    assert {path.name for path in folder.iterdir() if path.is_dir()} == names
    card = json.loads((folder / "card.json").read_text())
    assert set(card["tickets"]) == names
    assert card["run"] == finished_run.id
    with (folder / "accuracy-by-seed.csv").open() as file, finished_run.tombola.reader() as reader:
        assert len(list(csv.DictReader(file))) == len(reader.tickets(finished_run.id))
    figures = {"accuracy", "accuracy-by-seed", "cost", "overlap", "loss", "sets", "traces", "machine"}
    assert {path.stem for path in folder.glob("*.csv")} == {*figures, "checks", "curves", "curves-by-seed"}


def test_an_export_is_of_those_tickets_that_were_asked_for(finished_run: FinishedRun, tmp_path: Path):
    tombola = finished_run.tombola
    tombola("export", RUN, str(tmp_path / "one"), "--search", "colt", "--seed", "1", "--round", "2")
    assert [path.name for path in (tmp_path / "one").iterdir() if path.is_dir()] == ["colt-1-2"]
    tombola("export", RUN, str(tmp_path / "last"), "--search", "imp", "--last")
    assert {path.name for path in (tmp_path / "last").iterdir() if path.is_dir()} == {"imp-0-2", "imp-1-2"}
    words = tombola("export", RUN, str(tmp_path / "none"), "--search", "prac", code=2).stderr
    assert "no such ticket (there are: colt, imp, matched)" in words
    assert not (tmp_path / "none").exists()


def test_an_export_into_a_folder_that_exists_is_refused_and_one_that_fails_leaves_nothing(
    finished_run: FinishedRun, copy: Tombola, tmp_path: Path
):
    there = tmp_path / "there"
    there.mkdir()
    (there / "mine").write_text("keep")
    assert "exists already" in copy("export", RUN, str(there), code=2).stderr
    assert (there / "mine").read_text() == "keep"
    shutil.rmtree(copy.files / "objects")
    assert "is gone" in copy("export", RUN, str(tmp_path / "new"), code=1).stderr
    assert [path for path in tmp_path.iterdir() if "new" in path.name] == []


# Keeping order


def test_a_run_is_renamed_and_noted(finished_run: FinishedRun, copy: Tombola):
    copy("rename", RUN, "the first one")
    copy("note", RUN, "-", stdin="two\nlines")
    assert copy("note", RUN).stdout == "two\nlines\n"
    shown = copy("show", RUN).stdout
    assert "name: the first one\n" in shown
    assert "note: two\nnote: lines\n" in shown
    (row,) = json.loads(copy("runs", "--json").stdout)
    assert (row["id"], row["name"]) == (finished_run.id, "the first one")
    copy("note", RUN, "")
    assert copy("note", RUN, "--json").stdout == json.dumps({"run": finished_run.id, "note": ""}, indent=2) + "\n"


def test_nothing_that_others_wrote_acts_on_the_terminal(finished_run: FinishedRun, copy: Tombola):
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"
    with Writer(copy.db) as writer:
        for column in ("name", "title", "paper", "expect", "note", "message"):
            writer.update("runs", {"id": finished_run.id}, {column: f"a {evil} b"})
        line = {"run": finished_run.id, "at": "2026-01-01T00:00:00.000Z", "level": "info", "message": evil}
        writer.insert("log", line)
        writer.insert("alerts", {"run": finished_run.id, "at": line["at"], "kind": "x", "message": evil})
    for arguments in (
        ["runs"],
        ["show", RUN],
        ["log", RUN],
        ["note", RUN],
        ["watch", RUN],
        ["query", "SELECT * FROM runs"],
        ["runs", "--json"],
        ["log", RUN, "--json"],
    ):
        done = copy(*arguments)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.stdout + done.stderr), arguments


def test_the_log_is_shown_and_followed_to_the_end(finished_run: FinishedRun):
    tombola = finished_run.tombola
    whole = tombola("log", RUN).stdout
    assert "ticket at" in whole
    assert whole.splitlines()[-1].endswith("finished")
    assert tombola("log", RUN, "-f").stdout == whole
    lines = json.loads(tombola("log", RUN, "--json").stdout)
    assert len(lines) == len(whole.splitlines())
    assert [json.loads(line) for line in tombola("log", RUN, "-f", "--json").stdout.splitlines()] == lines


def test_deleting_asks_first_and_then_leaves_no_row_and_no_file(finished_run: FinishedRun, copy: Tombola):
    assert "add --yes" in copy("delete", RUN, code=2).stderr
    assert json.loads(copy("runs", "--json").stdout)
    copy("delete", RUN, "--yes")
    assert copy("runs", "--json").stdout == "[]\n"
    assert [path for path in copy.files.rglob("*") if path.is_file()] == []
    assert copy("query", "SELECT count(*) AS n FROM evaluations", "--json").stdout == '[{"n": 0}]\n'


def test_the_doctor_looks_at_everything(finished_run: FinishedRun):
    found = json.loads(finished_run.tombola("doctor", "--check", "--json").stdout)
    states = {finding["what"]: finding["state"] for finding in found}
    looked = {
        "tombola",
        "python",
        "torch",
        "sqlite",
        "store",
        "file system",
        "disk",
        "logout",
        "gpu",
        "engine",
        "check",
    }
    assert looked <= set(states)
    assert states["engine"] == "well"
    checked = [(finding["state"], finding["words"]) for finding in found if finding["what"] == "check"]
    assert checked[0] == ("well", "every page, reference and value of the store is right")
    assert re.fullmatch(r"\d+ files of .*B, each as its hash says", checked[1][1])
    assert len(checked) == 2
    assert any("journal wal" in finding["words"] for finding in found if finding["what"] == "store")


def test_the_doctor_fails_where_the_store_is_not_one(tombola: Tombola):
    tombola.db.parent.mkdir()
    tombola.db.write_text("my diary " * 100)
    done = tombola("doctor", code=1)
    assert re.search(r"^✗ store .*is not an SQLite database", done.stdout, re.MULTILINE)


# Presets


def test_presets_are_listed_shown_and_given_as_toml(tombola: Tombola, tmp_path: Path):
    listed = json.loads(tombola("presets", "--json").stdout)
    assert {"digits-demo", "digits-imp", "digits-segments"} <= {preset["name"] for preset in listed}
    toml = tombola("presets", "digits-demo", "--toml").stdout
    assert 'expect = "COLT' in toml
    (tmp_path / "mine.toml").write_text(toml)
    spec = tombola("presets", "digits-demo", "--json").stdout
    assert tombola("presets", "./mine.toml", "--json").stdout == spec


@pytest.mark.parametrize("name", ["digits-demo", "digits-imp", "digits-segments"])
def test_a_preset_is_shown_as_toml_with_every_default_and_cost_that_means_the_same(
    tombola: Tombola, tmp_path: Path, name: str
):
    done = tombola("presets", name)
    assert "asking the engine" in done.stderr
    (tmp_path / "shown.toml").write_text(done.stdout)
    assert tombola("presets", "./shown.toml", "--json").stdout == tombola("presets", name, "--json").stdout
    cost = done.stdout.split("\n\n")[-1].splitlines()
    assert all(line.startswith("# ") for line in cost)
    words = "\n".join(cost)
    for line in (r"time +about .* on cpu", r"images .* to search,", r"needs .* of memory", r"data +1 797 images of 10"):
        assert re.search(rf"^# {line}", words, re.MULTILINE), words
    for search in json.loads(tombola("presets", name, "--json").stdout)["searches"]:
        assert re.search(rf"^# {search} +\d+ rounds", words, re.MULTILINE), words


def test_the_cost_of_a_preset_alone_is_what_the_engine_forecasts(tombola: Tombola):
    cost = json.loads(tombola("presets", "digits-imp", "--cost", "--json").stdout)
    assert {"seconds", "images", "searches", "data", "memory_bytes", "disk_bytes"} <= set(cost)
    words = tombola("presets", "digits-imp", "--cost").stdout
    assert f"{cost['trainings']} trainings" in words
    assert not tombola.db.exists()


def test_where_the_cost_cannot_be_known_the_preset_is_shown_nevertheless(tombola: Tombola, tmp_path: Path):
    fault = "device 'abacus' is not there"
    done = tombola("presets", "digits-imp", "--device", "abacus")
    assert done.stdout.startswith("title ")
    assert fault in done.stderr.splitlines()[-1]
    assert fault in tombola("presets", "digits-imp", "--device", "abacus", "--cost", code=2).stderr


def test_data_that_has_to_be_fetched_is_said_with_how(tombola: Tombola, tmp_path: Path):
    (tmp_path / "mine.toml").write_text('extends = "digits-imp"\n[data]\nname = "cifar10"\n')
    shown = tombola("presets", "./mine.toml").stdout
    assert re.search(r"^# data .*3×32×32, not on this machine$", shown, re.MULTILINE)
    assert re.search(r"^# fetch +tombola data cifar10 --fetch \(.*\)$", shown, re.MULTILINE)


def test_presets_are_found_by_words_of_their_name_title_or_paper(tombola: Tombola):
    def found(words: str) -> list[str]:
        return [preset["name"] for preset in json.loads(tombola("presets", "--find", words, "--json").stdout)]

    assert "digits-imp" in found("REWINDING 1803.03635")
    assert "digits-demo" not in found("REWINDING 1803.03635")
    assert set(found("digits colt")) >= {"digits-demo", "digits-segments"}
    assert found("digits nonsense") == []
    assert "no preset has all of: nonsense" in tombola("presets", "--find", "nonsense").stderr
    for wrong in (["digits-imp", "--find", "x"], ["--cost"], ["digits-imp", "--cost", "--toml"]):
        tombola("presets", *wrong, code=2)


def test_what_tries_a_preset_out_stands_right_below_it(tombola: Tombola):
    folder = tombola.home / ".config" / "tombola" / "presets" / "paper"
    folder.mkdir(parents=True)
    names = ["a-cifar10", "a-cifar10-conv", "a-cifar10-conv-smoke", "a-cifar10-smoke", "b-smoke"]
    for name in names:
        (folder / f"{name}.toml").write_text(f'extends = "digits-imp"\ntitle = "{"very " * 20}long"\n')
    listed = [line.split()[0] for line in tombola("presets").stdout.splitlines()[1:6]]
    assert listed == ["a-cifar10", "a-cifar10-smoke", "a-cifar10-conv", "a-cifar10-conv-smoke", "b-smoke"]


def test_on_a_terminal_the_list_of_presets_is_as_wide_as_that(tombola: Tombola):
    terminal, end = pty.openpty()
    done = subprocess.run(
        [tombola.command, "presets", "--find", "digits-segments"],
        env=tombola.environment | {"COLUMNS": "80"},
        stdout=end,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    os.close(end)
    with suppress(OSError), os.fdopen(terminal, errors="replace") as output:  # some systems end it with an error
        paper, line = (output.readline().rstrip() for _ in range(2))
    assert paper == "colt"
    assert line.startswith("  digits-segments  COLT's segments on")
    assert line.endswith("…")
    assert len(line) <= 80
    assert "your own: " in done.stderr
    assert max(map(len, tombola("presets").stdout.splitlines())) > 80, "programs get them whole"
