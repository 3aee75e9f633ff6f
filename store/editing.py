"""Short changes that commands and the app make: a run begins, is renamed, asked to stop, deleted.

Each is one transaction on a connection from `connect`. Nothing here needs more than the standard library.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import sqlite3
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from store.clock import present
from store.connection import now, path_of, spelled, transaction
from store.errors import StoreError
from store.files import object_path, run_folder
from store.liveness import newest_attempt, state_of

ID_LETTERS = "bcdfghjkmnpqrstvwxz"
"""What ends an id: no vowels, so that no words arise, and no l, which looks like 1."""

KEPT = ("tickets", "rounds", "all")
"""What a run may keep of its files, from least to most."""

LIVE_STATES = ("running", "paused")


def create_run(
    conn: sqlite3.Connection,
    *,
    name: str,
    preset: str,
    spec: Mapping[str, Any],
    device: str,
    files: str,
    images_planned: int,
) -> str:
    """A new run that its engine is about to take up; gives back its id. `spec` is the experiment as plain data."""
    name = _one_line(name, "name")
    moment = _now(conn)
    with transaction(conn):
        run = _free_id(conn, name)
        conn.execute(
            "INSERT INTO runs (id, name, preset, title, paper, expect, spec, state, device, keep, files,"
            " images_planned, created, started) VALUES (?, ?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?)",
            (
                run,
                name,
                preset,
                spec["title"],
                spec.get("paper", ""),
                spec.get("expect", ""),
                json.dumps(spec),
                device,
                spec.get("keep", "tickets"),
                files,
                images_planned,
                moment,
                moment,
            ),
        )
    return run


def request(conn: sqlite3.Connection, run: str, action: str) -> None:
    """Ask the engine of a run to "pause" or to "stop"; it looks every second."""
    with transaction(conn):
        _run(conn, run)
        conn.execute("INSERT INTO requests (run, action, asked) VALUES (?, ?, ?)", (run, action, now()))


def ask(conn: sqlite3.Connection, run: str, checks: Mapping[str, Any]) -> None:
    """Give a run these `checks` in place of its own, and mark it as sent for: its engine is to answer them.

    The rest of its experiment stays, so everything it has trained holds. An answer to what is now asked otherwise goes.

    Raises:
        StoreError: it is running: an engine reads its experiment once, when it starts.
    """
    with transaction(conn):
        row = _run(conn, run)
        if _standing(conn, row) == "running":
            raise StoreError(f"{run} is running: wait until it has ended, or pause it first")
        spec = json.loads(row["spec"])
        for name, before in spec.get("checks", {}).items():
            if checks.get(name) != before:
                conn.execute("DELETE FROM checks WHERE run = ? AND name = ?", (run, name))
        _set(conn, run, spec=json.dumps({**spec, "checks": dict(checks)}))
        set_state(conn, run, "running")


def rename(conn: sqlite3.Connection, run: str, name: str) -> None:
    """Change what a run is called; its id stays."""
    _set(conn, run, name=_one_line(name, "name"))


def note(conn: sqlite3.Connection, run: str, text: str) -> None:
    """Replace the note of a run; several lines are welcome."""
    lines = [_printable(line) for line in text.splitlines()]
    _set(conn, run, note="\n".join(lines).strip())


def set_state(conn: sqlite3.Connection, run: str, state: str, message: str = "") -> None:
    """Write the state of a run. "running" says that its engine is on its way, and leaves it 30 s to come.

    What was begun or asked before is then over: the run waits for its next attempt.
    """
    moment = _now(conn)
    values = {"state": state, "message": message, "ended": None if state in LIVE_STATES else moment}
    with transaction(conn):
        _set(conn, run, **values, **({"started": moment} if state == "running" else {}))
        if state == "running":
            gone = "UPDATE attempts SET ended = heartbeat, outcome = 'lost', doing = '' WHERE run = ? AND ended IS NULL"
            conn.execute(gone, (run,))
            conn.execute("UPDATE requests SET taken = ? WHERE run = ? AND taken IS NULL", (moment, run))


def still_coming(conn: sqlite3.Connection, run: str, before: int) -> bool:
    """Show that an engine is on its way, which takes a while; False once it need not, since one has taken up the run.

    `before`: id of the newest attempt when it set out, 0 where there was none.
    """
    none_yet = "NOT EXISTS (SELECT 1 FROM attempts WHERE run = runs.id AND id > :before)"
    with transaction(conn):
        sql = f"UPDATE runs SET started = :now WHERE id = :run AND state = 'running' AND {none_yet}"
        return conn.execute(sql, {"now": _now(conn), "run": run, "before": before}).rowcount == 1


def take_requests(conn: sqlite3.Connection, run: str) -> list[str]:
    """What was asked of a run and not taken up yet, "pause" or "stop", oldest first; taken up by this."""
    with transaction(conn):
        asked = conn.execute("SELECT id, action FROM requests WHERE run = ? AND taken IS NULL ORDER BY id", (run,))
        rows = asked.fetchall()
        conn.executemany("UPDATE requests SET taken = ? WHERE id = ?", [(now(), row["id"]) for row in rows])
    return [row["action"] for row in rows]


def never_began(conn: sqlite3.Connection, run: str, message: str, before: int | None = None) -> None:
    """Write down that an engine ended before it took up its run, so that nobody waits for it.

    One that ended later has left a row of `attempts` without an end, by which everyone sees that it is gone. `before`:
    id of the newest attempt when it set out, 0 where there was none; where one has taken up the run since, the run may
    wait for yet another.
    """
    taken_up = "SELECT 1 FROM attempts WHERE run = runs.id AND (ended IS NULL OR id > :before)"
    with transaction(conn):
        waiting = f"SELECT 1 FROM runs WHERE id = :run AND state = 'running' AND NOT EXISTS ({taken_up})"
        if conn.execute(waiting, {"run": run, "before": before}).fetchone():  # no id is > NULL
            set_state(conn, run, "failed", message)


def delete_run(conn: sqlite3.Connection, run: str, files_root: Path) -> None:
    """Remove a run that is not running, with its folder and every file that no other run uses.

    Rows go first: when this is cut short, files may stay behind, but no row ever names a file that has gone.
    """
    folder = run_folder(files_root, run)
    with transaction(conn):
        _at_rest(conn, run)
        own = "SELECT sha256 FROM file_uses WHERE run = :run EXCEPT SELECT sha256 FROM file_uses WHERE run <> :run"
        orphans = [row["sha256"] for row in conn.execute(own, {"run": run})]
        conn.execute("DELETE FROM runs WHERE id = ?", (run,))
        conn.executemany("DELETE FROM files WHERE sha256 = ?", [(sha256,) for sha256 in orphans])
    _unlink(conn, files_root, orphans)
    shutil.rmtree(folder, ignore_errors=True)


def prune_run(conn: sqlite3.Connection, run: str, keep: str, files_root: Path) -> tuple[int, int]:
    """Let go of files of a run that is not running, until it keeps no more than `keep` says; gives how many, and bytes.

    "tickets" lets go of all trained weights, "rounds" of those that no round of a search has as a member. Files that
    other runs use stay. Of a finished run, what it has set aside goes, too, should any be left; any other run keeps
    that, since it needs it to go on.

    Raises:
        StoreError: it is running, or `keep` is neither.
    """
    if keep not in ("tickets", "rounds"):
        raise StoreError(f"a run can be pruned to its tickets or rounds, not to {keep!r}")
    spared = "" if keep == "tickets" else " AND training NOT IN (SELECT training FROM members)"
    with transaction(conn):
        row = _at_rest(conn, run)
        let_go = f"run = ? AND role = 'trained'{spared}"
        used = conn.execute(f"SELECT DISTINCT sha256 FROM file_uses WHERE {let_go}", (run,)).fetchall()
        conn.execute(f"DELETE FROM file_uses WHERE {let_go}", (run,))
        orphans, freed = [], 0
        for (sha256,) in used:
            if conn.execute("SELECT 1 FROM file_uses WHERE sha256 = ?", (sha256,)).fetchone() is None:
                orphans.append(sha256)
                freed += conn.execute("SELECT bytes FROM files WHERE sha256 = ?", (sha256,)).fetchone()[0]
                conn.execute("DELETE FROM files WHERE sha256 = ?", (sha256,))
        conn.execute("UPDATE runs SET keep = ? WHERE id = ?", (min(keep, row["keep"], key=KEPT.index), run))
        if row["state"] == "finished":
            conn.execute("DELETE FROM checkpoints WHERE training IN (SELECT id FROM trainings WHERE run = ?)", (run,))
    _unlink(conn, files_root, orphans)
    left = _unlink_aside(conn, files_root, run)
    return len(orphans) + len(left), freed + sum(left)


def _unlink_aside(conn: sqlite3.Connection, files_root: Path, run: str) -> list[int]:
    """Remove what a finished run has set aside, under the lock: one that was sent for since then needs it; gives sizes.

    No row names any of it any more.
    """
    sizes = []
    with transaction(conn):
        if conn.execute("SELECT 1 FROM runs WHERE id = ? AND state = 'finished'", (run,)).fetchone():
            for part in ("live", "trained"):
                folder = run_folder(files_root, run) / part
                sizes += [file.stat().st_size for file in folder.glob("*")]
                shutil.rmtree(folder, ignore_errors=True)
    return sizes


def _unlink(conn: sqlite3.Connection, files_root: Path, orphans: list[str]) -> None:
    """Remove files whose rows have gone; under the lock: one that another run has recorded since then stays."""
    with transaction(conn):
        for sha256 in orphans:
            if conn.execute("SELECT 1 FROM files WHERE sha256 = ?", (sha256,)).fetchone() is None:
                with suppress(OSError):
                    object_path(files_root, sha256).unlink()


def _at_rest(conn: sqlite3.Connection, run: str) -> sqlite3.Row:
    """The row of a run that no engine trains."""
    row = _run(conn, run)
    if _standing(conn, row) == "running":
        raise StoreError(f"{run} is running: stop it first")
    return row


def _now(conn: sqlite3.Connection) -> str:
    """The present moment by the clock that signs of life are held against."""
    return spelled(present(path_of(conn)))


def _standing(conn: sqlite3.Connection, run: sqlite3.Row) -> str:
    """How a run stands, its engine looked for."""
    return state_of(dict(run), newest_attempt(conn, run["id"]), path_of(conn))


def _set(conn: sqlite3.Connection, run: str, **values: Any) -> None:
    assignments = ", ".join(f"{column} = :{column}" for column in values)
    with transaction(conn):
        _run(conn, run)
        conn.execute(f"UPDATE runs SET {assignments} WHERE id = :id", {**values, "id": run})


def _run(conn: sqlite3.Connection, run: str) -> sqlite3.Row:
    run = _printable(run)
    row = conn.execute("SELECT * FROM runs WHERE id = ?", (run,)).fetchone()
    if row is None:
        raise StoreError(f"no run has the id {run!r}")
    return row


def _free_id(conn: sqlite3.Connection, name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:24].strip("-") or "run"
    while True:
        run = f"{slug}-{''.join(secrets.choice(ID_LETTERS) for _ in range(4))}"
        if conn.execute("SELECT 1 FROM runs WHERE id = ?", (run,)).fetchone() is None:
            return run


def _one_line(text: str, what: str) -> str:
    clean = " ".join(_printable(text).split())
    if not clean:
        raise StoreError(f"a {what} needs at least one visible character")
    if len(clean) > 100:
        raise StoreError(f"a {what} has at most 100 characters, this one {len(clean)}")
    return clean


def _printable(text: str) -> str:
    """Without control, format and surrogate characters: they would act on the terminal that shows them."""
    return "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text)
