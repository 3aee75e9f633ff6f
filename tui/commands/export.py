"""`tombola export`: tickets and results as files that plain PyTorch and any spreadsheet read."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from store.reading import Reader
from store.report import answer, results, tickets
from tui.app.wording import plural
from tui.commands.options import Failed, Refused, files_of, reader, resolve, run_argument, store_options
from tui.commands.output import say


@click.command()
@run_argument
@click.argument("folder", metavar="DIR")
@click.option("--search", "searches", multiple=True, help="Only tickets of this search; repeatable.")
@click.option("--seed", "seeds", type=int, multiple=True, help="Only tickets of this seed; repeatable.")
@click.option("--round", "rounds", type=int, multiple=True, help="Only tickets of this round; repeatable.")
@click.option("--last", is_flag=True, help="Only the last ticket of each search and seed.")
@store_options
def command(
    run: str, folder: str, searches: tuple[str, ...], seeds: tuple[int, ...], rounds: tuple[int, ...], last: bool
) -> None:
    """Write tickets and results of a run into a new folder.

    A ticket is a folder SEARCH-SEED-ROUND with mask.safetensors (bool), start.safetensors (the weights it begins
    with) and card.json. Results are CSV files beside them. Without options every ticket is written.
    """
    store = reader()
    run = resolve(store, run)
    target = Path(folder)
    if target.exists() or target.is_symlink():
        raise Refused(f"{folder} exists already: name a folder that does not")
    row = store.run(run)
    chosen = _chosen(store, run, searches, seeds, rounds, last)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.mkdir(parents=True)
        card = _card(row)
        for ticket in chosen:
            _write_ticket(draft / _name(ticket), ticket, card, files_of(row))
        _write_json(draft / "card.json", card | {"tickets": [_name(ticket) for ticket in chosen]})
        for name, sql in results(run).items():
            _write_csv(draft / f"{name}.csv", *store.query(sql))
        draft.rename(target)
    except OSError as error:
        raise Failed(f"{error.filename or folder}: {(error.strerror or str(error)).lower()}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    say(f"{plural(len(chosen), 'ticket')} and the results are in {target}")


def _chosen(
    store: Reader, run: str, searches: tuple[str, ...], seeds: tuple[int, ...], rounds: tuple[int, ...], last: bool
) -> list[dict[str, Any]]:
    """The tickets that were asked for; an option that matches none is refused."""
    found = answer(store, tickets(run))
    for key, wanted in (("search", searches), ("seed", seeds), ("round", rounds)):
        there = list(dict.fromkeys(ticket[key] for ticket in found))
        for value in wanted:
            if value not in there:
                raise Refused(f"--{key} {value}: no such ticket (there are: {', '.join(map(str, there)) or 'none'})")
        if wanted:
            found = [ticket for ticket in found if ticket[key] in wanted]
    if last:
        found = list({(ticket["search"], ticket["seed"]): ticket for ticket in found}.values())
    return found


def _name(ticket: dict[str, Any]) -> str:
    """The folder of a ticket: one that lies in the export, whoever made the store."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", ticket["search"]):  # as presets name searches
        raise Failed(f"a search of this run is called {ticket['search']!r}, which is no name for a folder")
    return f"{ticket['search']}-{ticket['seed']}-{ticket['round']}"


def _card(row: dict[str, Any]) -> dict[str, Any]:
    """What is needed to know what a ticket is, and to make its network again."""
    last = row["attempts"][-1] if row["attempts"] else {}
    return {
        "format": 1,
        "run": row["id"],
        "title": row["title"],
        "paper": row["paper"],
        "state": row["state"],
        "created": row["created"],
        "versions": last.get("versions"),
        "plan": last.get("plan"),
        "experiment": row["spec"],
    }


def _write_ticket(folder: Path, ticket: dict[str, Any], card: dict[str, Any], root: Path) -> None:
    folder.mkdir()
    mask, start = (_object(root, ticket[key]) for key in ("mask", "start"))
    try:
        unpacked, shapes = _unpacked(mask)
    except Exception as error:  # whatever safetensors and numpy make of a file that some other program wrote
        raise Failed(f"{ticket['mask']}.safetensors holds no mask ({type(error).__name__})") from None
    (folder / "mask.safetensors").write_bytes(unpacked)
    (folder / "start.safetensors").write_bytes(start)
    keys = ("search", "method", "seed", "round", "sparsity", "total_sparsity", "prunable", "remaining", "weights")
    about = {key: ticket[key] for key in (*keys, "weights_remaining", "start_step")}
    shared = {key: card[key] for key in ("format", "run", "title", "paper", "versions", "experiment")}
    _write_json(folder / "card.json", shared | {"ticket": about, "masked": shapes})


def _object(root: Path, sha256: str) -> bytes:
    from store.files import object_path

    path = object_path(root, sha256)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise Failed(f"{path} is gone; give --files if the folder was moved") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Failed(f"{path} is damaged: its content is not what was written")
    return content


def _unpacked(content: bytes) -> tuple[bytes, dict[str, list[int]]]:
    """A mask file with a byte a weight instead of a bit, and the shapes of its tensors."""
    import numpy as np
    from safetensors.numpy import load, save

    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    shapes: dict[str, list[int]] = json.loads(header["__metadata__"]["packed_shapes"])
    bits = load(content)
    mask = {}
    for name, shape in shapes.items():
        count = math.prod(shape)
        if len(bits[name]) != -(-count // 8):  # numpy would fill up what is missing
            raise ValueError(f"{len(bits[name])} bytes for {count} weights")
        mask[name] = np.unpackbits(bits[name], count=count, bitorder="little").astype(bool).reshape(shape)
    return save(mask), shapes


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def _write_csv(path: Path, columns: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
