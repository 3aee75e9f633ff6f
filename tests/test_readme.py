"""What the README shows, works: its commands exist, its queries answer, its five lines of PyTorch load a ticket."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from torch import nn

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


class PlainNetwork(nn.Module):
    """The tiny demo's network as a stranger would write it, knowing only the names and shapes of a ticket."""

    def __init__(self) -> None:
        super().__init__()
        for number, (before, after) in enumerate(((1, 4), (4, 8), (8, 16)), start=1):
            self.add_module(f"conv{number}", nn.Conv2d(before, after, 3, padding=1, bias=False))
            self.add_module(f"norm{number}", nn.BatchNorm2d(after))
        self.head = nn.Linear(16, 10)


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "DIR"
    finished_run.tombola("export", finished_run.id, str(folder))
    return folder


def test_five_lines_of_pytorch_put_an_exported_ticket_to_work(exported: Path):
    (snippet,) = blocks("python")
    assert len([line for line in snippet.splitlines() if line]) == 5
    folder = exported / "colt-0-2"
    network = PlainNetwork()
    exec(snippet.replace("DIR/colt-0-12", str(folder)), {"network": network})

    weights = [parameter for name, parameter in network.named_parameters() if name.startswith("conv")]
    alive, prunable = sum(int(weight.count_nonzero()) for weight in weights), sum(w.numel() for w in weights)
    card = json.loads((folder / "card.json").read_text())["ticket"]
    assert (prunable, alive) == (card["prunable"], card["remaining"])


def test_every_query_answers_with_rows(finished_run):
    queries = re.findall(r'tombola query "(SELECT.*?)"', README, re.DOTALL)
    assert queries
    for query in queries:
        answer = finished_run.tombola("query", query, "--csv").stdout
        assert answer.splitlines()[0].startswith("run,")
        if "cost_to_sparsity" not in query:  # two rounds reach no level of it
            assert len(answer.splitlines()) > 1


def test_every_command_is_listed_and_none_that_is_not_there():
    from tui.main import SECTIONS

    table = "\n".join(line for line in README.splitlines() if line.startswith("| `"))
    listed = set(re.findall(r"`(?:tombola )?([a-z]+)", table))
    assert listed == {command for section in SECTIONS.values() for command in section}


def test_every_file_and_target_that_it_names_exists():
    for target in re.findall(r"^make ([a-z]+)", "\n".join(blocks("sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for path in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert (ROOT / path).exists(), path


def test_every_option_that_it_shows_exists():
    from tui.main import cli

    context = cli.make_context("tombola", [], resilient_parsing=True)
    shown = re.findall(r"tombola ([a-z]+)([^\n#`|;)]*)", "\n".join(re.findall(r"`[^`\n]+`", README) + blocks("sh")))
    assert len(shown) > 10
    for name, words in shown:
        options = {option for parameter in cli.get_command(context, name).params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--?[a-z]+", words)) <= options, (name, words)
