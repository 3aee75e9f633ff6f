"""`tombola doctor`: what this machine can do, and what is wrong with it, each in one line with the way out."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import click

from store.errors import StoreError
from tui import logout
from tui.commands.options import db, files, json_option, store_options
from tui.commands.output import print_json
from tui.plain import plain

LEAST_ROOM = 1e9  # bytes; below this a long run may fill the disk
NEEDED = ("numpy", "pydantic", "safetensors", "click", "textual", "plotext", "sqlite-utils", "platformdirs", "psutil")


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what is known. `wrong`: runs fail; `unwell`: something will be missed."""

    what: str
    state: Literal["well", "unwell", "wrong"]
    words: str


@click.command()
@click.option(
    "--check", is_flag=True, help="Also read all of the store and of its files: takes as long as they are big."
)
@json_option
@store_options
def command(check: bool, as_json: bool) -> int:
    """Say what this machine can do, and what is wrong with it.

    Looks at versions, GPUs, data sets, the store and its file system, room on the disk, and whether runs outlive a
    logout. The exit code is 1 when something is wrong (✗): runs would fail, or results are damaged.

    --check verifies every page of the store, every reference between its rows and every value in them, and that every
    file that it names is there with the content that its hash says. A damaged checkpoint (!) costs time alone: it says
    what resume does instead. Files and rows that the store does not know are told of, too.
    """
    found = []
    looks = (_houses, _python, _packages, _machine, _devices, _data, _store, _room, _logout, _terminal, _presets)
    for look in (*looks, _check) if check else looks:
        for finding in _looked(look):
            found.append(finding)
            if not as_json:
                click.echo(_line(finding))
    if as_json:
        print_json([asdict(finding) for finding in found])
    return 1 if any(finding.state == "wrong" for finding in found) else 0


def _line(finding: Finding) -> str:
    mark = {"well": "  ", "unwell": "! ", "wrong": "✗ "}[finding.state]
    return f"{mark}{finding.what:11} {plain(finding.words)}"


def _looked(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What `look` finds; when it stumbles, that is a finding too."""
    try:
        yield from look()
    except (OSError, ValueError, StoreError, sqlite3.Error) as error:
        yield Finding(look.__name__.strip("_"), "wrong", " ".join(str(error).split()))


def _houses() -> Iterator[Finding]:
    from presets import __version__

    # main() has checked that all four lie together, or we would not be here.
    yield Finding("tombola", "well", f"{__version__}, presets, store, engine and tui in {Path(__file__).parents[2]}")


def _python() -> Iterator[Finding]:
    number = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "well" if sys.version_info >= (3, 11) else "wrong", f"{number}, {sys.executable}")


def _packages() -> Iterator[Finding]:
    torch = _version("torch")
    if torch is None:
        yield Finding("torch", "wrong", "not installed: nothing can be trained; pip install torch")
    else:
        numbers = tuple(map(int, re.findall(r"\d+", torch)[:2]))
        old = numbers < (2, 8)
        yield Finding("torch", "wrong" if old else "well", torch + (", 2.8 or newer is needed" if old else ""))
    for package, use in (("torchvision", "MNIST, CIFAR and Tiny ImageNet"), ("pillow", "folders of images")):
        hint = f"not installed: {use} need it, pip install 'tombola[vision]'"
        yield Finding(package, "well", _version(package) or hint)
    missing = [name for name in NEEDED if _version(name) is None]
    rest = ", ".join(f"{name} {_version(name)}" for name in NEEDED if name not in missing)
    yield Finding("packages", "wrong" if missing else "well", f"missing: {', '.join(missing)}" if missing else rest)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _machine() -> Iterator[Finding]:
    import psutil

    from tui.app.wording import plural, size

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory()
    words = f"{plural(cores, 'core')}, {size(memory.available)} of {size(memory.total)} memory free"
    yield Finding("machine", "well" if memory.available > LEAST_ROOM else "unwell", words)


def _devices() -> Iterator[Finding]:
    """Every card with what one operation on it says, whether an engine starts, and which device it takes."""
    from presets.loading import load
    from tui import launch
    from tui.app.wording import duration, plural

    try:
        yield from _cards(launch.cards())
        plan: dict[str, Any] = launch.plan(load("digits-demo"))
    except launch.LaunchError as error:
        yield Finding("engine", "unwell" if error.busy else "wrong", str(error))
        return
    workers = plural(plan["workers"], "worker")
    words = f"starts; would train on {plan['where']} with {workers}, the demo in about {duration(plan['seconds'])}"
    yield Finding("engine", "well", words)


def _data() -> Iterator[Finding]:
    """Which data sets are on this machine, and where; what is wrong with one."""
    from store.places import data_path
    from tui import launch

    try:
        sets = launch.data_sets()
    except launch.LaunchError as error:
        yield Finding("data", "unwell", f"not known: {error}")
        return
    here = ", ".join(one["name"] for one in sets if one["there"])
    yield Finding("data", "well", f"here: {here}; what was fetched lies in {data_path()}; tombola data lists all")
    for one in sets:
        if one["fault"]:
            yield Finding("data", "unwell", one["fault"])


def _cards(seen: dict[str, Any]) -> Iterator[Finding]:
    """Of what the engine knows of the cards."""
    from tui.app.wording import size

    for card in seen["cards"]:
        words = f"{card['name']}, {card['uuid']}" + (f", driver {seen['driver']}" if seen["driver"] else "")
        if card["total"]:
            words += f", {size(card['free'])} of " if card["free"] is not None else ", "
            words += f"{size(card['total'])}" + (" free" if card["free"] is not None else "")
        words += "".join(f", used by {user}" for user in card["users"])
        if card["fault"]:  # where others use it, their memory may be what it lacks
            yield Finding("gpu", "unwell" if card["users"] else "wrong", f"{words}; FAILED: {card['fault']}")
        else:
            yield Finding("gpu", "well", words if seen["fault"] else f"{words}; computes")
    if not seen["cards"]:
        yield Finding(
            "gpu", "unwell" if seen["note"] else "well", seen["note"] or "none that the NVIDIA driver knows of"
        )
    elif seen["fault"] or seen["note"]:
        yield Finding("gpu", "unwell", seen["fault"] or seen["note"])


def _store() -> Iterator[Finding]:
    from store.connection import connect_readonly, copies_of, journal_note
    from store.migrations import STEPS
    from store.mounts import mount_type, shared_file_system

    path = db()
    yield Finding("sqlite", "well", f"{sqlite3.sqlite_version} (3.38 or newer is needed)")
    if path.exists():
        conn = connect_readonly(path)
        try:
            journal = conn.execute("PRAGMA journal_mode").fetchone()[0]
            runs = conn.execute("SELECT count(*) FROM runs").fetchone()[0]
            fault = conn.execute("PRAGMA quick_check(1)").fetchone()[0]
            note = journal_note(conn, path)
        finally:
            conn.close()
        writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        words = f"{path}, schema {len(STEPS)}, journal {journal}, {runs} runs"
        if fault != "ok":
            yield Finding("store", "wrong", f"{words}, DAMAGED: {fault}; restore a copy")
        else:
            yield Finding("store", "well" if writable else "wrong", words + ("" if writable else ", read-only"))
        if note:
            yield Finding("journal", "unwell", note)
        if copies := copies_of(path):
            names = ", ".join(copy.name for copy in copies)
            words = (
                f"as it was before newer versions changed it, the store is kept in {names}; delete what you do not need"
            )
            yield Finding("copies", "well", words)
    else:
        yield Finding("store", "well", f"{path} will be made by the first run")
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="replace")
    except OSError:
        return
    kind = mount_type(mounts, path.resolve())
    shared = shared_file_system(path)
    words = f"{kind or 'of unknown type'}" + (": shared, so the store has a rollback journal" if shared else "")
    yield Finding("file system", "unwell" if shared else "well", words)


def _check() -> Iterator[Finding]:
    """All of the store and of its files; what one look stumbles over keeps nobody from the others."""
    if not db().exists():
        yield Finding("check", "well", f"there is no store at {db()}")
        return
    for look in (_rows, _files, _strays):
        yield from _looked(look)


def _rows() -> Iterator[Finding]:
    from store.checking import database_faults
    from store.soundness import strange_values

    faults = [f"the store: {words}" for words in database_faults(db())]
    faults += [f"the store holds what this Tombola does not write: {words}" for words in strange_values(db())]
    for words in faults:
        yield Finding("check", "wrong", words)
    if not faults:
        yield Finding("check", "well", "every page, reference and value of the store is right")


def _files() -> Iterator[Finding]:
    """What a run goes on from costs time where it is not whole, and no result."""
    from store.checking import aside_faults, file_faults, set_aside
    from store.reading import Reader
    from tui.app.wording import plural, size

    with Reader(db()) as reader:
        sizes = [row["bytes"] for row in (*reader.rows("SELECT bytes FROM files"), *set_aside(db()))]
    found = [Finding("check", "wrong", words) for words in file_faults(db(), _moved())]
    found += [Finding("check", "unwell", words) for words in aside_faults(db(), _moved())]
    yield from found
    if not found:
        yield Finding("check", "well", f"{plural(len(sizes), 'file')} of {size(sum(sizes))}, each as its hash says")


def _strays() -> Iterator[Finding]:
    """Files that the store does not know, and rows that it has not got."""
    from store.checking import unnamed_files, waiting_rows
    from store.reading import Reader
    from tui.app.wording import plural, size

    with Reader(db()) as reader:
        folders = sorted({Path(row["files"]) for row in reader.rows("SELECT files FROM runs")})
    for folder in [moved] if (moved := _moved()) else folders:
        for run, path in waiting_rows(db(), folder).items():
            words = f"rows of {run} wait in {path}: its engine takes them in, or the next one (tombola resume {run})"
            yield Finding("check", "unwell", words)
        if left := unnamed_files(db(), folder):
            room = size(sum(left.values()))
            words = f"{plural(len(left), 'file')} of {room} in {folder} that nothing in this store names: {min(left)}"
            yield Finding("check", "unwell", words + (" and others" if len(left) > 1 else ""))


def _moved() -> Path | None:
    """Where files were said to lie, if that was said."""
    return files() if click.get_current_context().meta.get("tombola.files") else None


def _room() -> Iterator[Finding]:
    from tui.app.wording import size

    for what, folder in (("store", db().parent), ("files", files())):
        there = folder
        while not there.exists():
            there = there.parent
        free = shutil.disk_usage(there).free
        writable = os.access(there, os.W_OK)
        words = f"{size(free)} free for {what} in {folder}" + ("" if writable else ", which cannot be written to")
        yield Finding("disk", "wrong" if not writable else "well" if free > LEAST_ROOM else "unwell", words)


def _logout() -> Iterator[Finding]:
    """systemd can be told to end all of a person's processes at logout; lingering exempts them."""
    if not Path("/run/systemd/system").exists():
        yield Finding("logout", "well", "runs go on: nothing here ends processes at logout")
        return
    user = _user()
    lingers = logout.lingers(user)
    if logout.kills(user) and not lingers:
        words = (
            f"ENDS your runs when you log out (KillUserProcesses in logind.conf): loginctl enable-linger {user} lets"
            " them go on; where that is refused, ask an administrator for it"
        )
        yield Finding("logout", "unwell", words)
    else:
        yield Finding("logout", "well", "runs go on" + (", lingering is enabled" if lingers else ""))


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return str(os.getuid())


def _terminal() -> Iterator[Finding]:
    size = shutil.get_terminal_size()
    encoding = (sys.stdout.encoding or "").lower()
    small = size.columns < 80 or size.lines < 24
    words = f"{size.columns}×{size.lines}, TERM={os.environ.get('TERM', '')}, {encoding}"
    if small:
        words += "; the app wants 80×24"
    if "utf" not in encoding:
        words += "; without UTF-8 plots need tombola plot --ascii"
    yield Finding("terminal", "unwell" if small or "utf" not in encoding else "well", words)


def _presets() -> Iterator[Finding]:
    from presets.loading import listing, own_folder

    found = listing()
    own = [info for info in found if info.own]
    yield Finding("presets", "well", f"{len(found) - len(own)} shipped, {len(own)} of your own in {own_folder()}")
    for info in found:
        if info.fault:
            yield Finding("presets", "unwell", info.fault)
