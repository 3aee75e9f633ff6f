"""What is asked of the store: runs, their figures and their progress, as plain lists and dicts.

Opens read-only, so that nothing here can change a number, and imports nothing heavy: `tombola runs` starts by this.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from store.connection import connect_readonly, prepare, run_script, translated
from store.errors import NoStore, StoreError
from store.liveness import state_of
from store.migrations import STEPS

Rows = list[dict[str, Any]]

LISTING = """
    SELECT
        r.id, r.name, r.title, r.preset, r.paper,
        live_state(r.state, r.started, a.host, a.boot_id, a.pid, a.pid_started, a.ended, a.heartbeat) AS state,
        r.message, r.note, r.created, r.ended, ifnull(a.device, r.device) AS device,
        json_array_length(r.spec, '$.seeds') AS seeds,
        ifnull((SELECT group_concat(method, ', ') FROM (SELECT DISTINCT method FROM searches WHERE run = r.id)), '')
            AS methods,
        json_extract(r.spec, '$.network.name') AS network,
        json_extract(r.spec, '$.data.name') AS data,
        (SELECT count(*) FROM searches AS s JOIN rounds AS x ON x.search = s.id
            WHERE s.run = r.id AND x.step = 'done' AND x.round > 0) AS rounds,
        (SELECT max(x.sparsity) FROM searches AS s JOIN rounds AS x ON x.search = s.id
            WHERE s.run = r.id AND x.step = 'done') AS sparsity,
        (SELECT avg(e.accuracy) FROM arms AS d JOIN evaluations AS e ON e.arm = d.id
            WHERE d.run = r.id AND d.changes = '' AND ifnull(e.ticket, -1) = -1 AND e.split = 'test') AS dense_accuracy,
        ifnull(a.images_done, 0) AS images_done, r.images_planned, a.seconds_left, ifnull(a.doing, '') AS doing
    FROM runs AS r
    LEFT JOIN attempts AS a ON a.id = (SELECT max(id) FROM attempts WHERE run = r.id)
"""

PLAIN_PRAGMAS = (
    "application_id|collation_list|compile_options|data_version|database_list|freelist_count|function_list"
    "|journal_mode|page_count|page_size|schema_version|table_list|user_version"
)
"""What a query may ask by PRAGMA; without a value, which could set something."""

ASKING_PRAGMAS = "foreign_key_list|index_info|index_list|index_xinfo|table_info|table_xinfo"
"""Pragmas whose value is the name of what is asked about."""


class Reader:
    """Reads one store, from one thread at a time. A store that does not exist yet has no runs.

    Methods that take a `run` want its whole id: `resolve` makes one from what a person typed. All figures are as the
    views say it (`schema.py`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _identity(path)
        self._conn = _open(path)
        self._version: int | None = None

    def changed(self) -> bool:
        """Whether anything was written since the last call (True at the first). Costs microseconds."""
        file = _identity(self.path)
        if file != self._file:  # made, replaced or removed since
            self._conn.close()
            self._file, self._conn, self._version = file, _open(self.path), None
        with translated(self.path):
            version = self._conn.execute("PRAGMA data_version").fetchone()[0]
        changed, self._version = version != self._version, version
        return changed

    @contextmanager
    def moment(self) -> Iterator[None]:
        """What `rows` gives within is of one moment: those that go meanwhile are still there."""
        with translated(self.path):
            self._conn.execute("BEGIN")
        try:
            yield
        finally:
            if self._conn.in_transaction:  # a disk that failed has ended it
                self._conn.execute("ROLLBACK")

    def close(self) -> None:
        self._conn.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Runs

    def resolve(self, prefix: str) -> str:
        """The id of the only run whose id begins with `prefix`; a `StoreError` for none or several."""
        prefix = prefix.strip().lower()
        ids = [row["id"] for row in self.rows("SELECT id FROM runs ORDER BY created DESC, id")]
        if not ids:
            raise StoreError(f"there is no run yet in {self.path}")
        matches = [run for run in ids if prefix and run.startswith(prefix)]
        if prefix in matches:
            return prefix
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise StoreError(f"{prefix!r} could be {len(matches)} runs: {_some(matches)}")
        raise StoreError(f"no run begins with {prefix!r}; there is {_some(ids)}")

    def runs(self, where: str | None = None) -> Rows:
        """A row a run, newest first: what it is, how far it is, how it does. `where` is SQL over these columns.

        `state` knows whether the engine still lives. `seeds` is how many, `rounds` how many have ended over all
        searches and seeds, `sparsity` the highest prunable sparsity of a ticket, `dense_accuracy` the mean on test.
        Ctrl-C interrupts, however long a condition would go on.
        """
        if not where:
            return self.rows(f"{LISTING} ORDER BY r.created DESC, r.id")
        columns = [column[0] for column in self._conn.execute(f"{LISTING} LIMIT 0").description]
        self._conn.set_progress_handler(_stay_interruptible, 100_000)
        try:
            with _asked(f"cannot tell runs by {where!r} (columns: {', '.join(columns)})"):
                return self.rows(f"SELECT * FROM ({LISTING}) WHERE (\n{where}\n) ORDER BY created DESC, id")
        finally:
            self._conn.set_progress_handler(None, 0)

    def run(self, run: str) -> dict[str, Any]:
        """Everything about one run but its figures: its row of `runs()`, its spec, searches, arms and attempts."""
        listed = self.rows(f"SELECT * FROM ({LISTING}) WHERE id = ?", (run,))
        if not listed:
            raise StoreError(f"there is no run {run!r} in {self.path}")
        row = self.rows("SELECT expect, spec, keep, files, started FROM runs WHERE id = ?", (run,))[0]
        return {
            **listed[0],
            **_parsed(row, "spec"),
            "searches": self._of(run, "searches", "settings"),
            "arms": self._of(run, "arms", "settings"),
            "attempts": self._of(run, "attempts", "versions", "plan"),
        }

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Bytes of the files that each run uses: in all, and of those that no other run uses. What it has set aside to
        go on from is its own."""
        rows = self.rows(
            "SELECT u.run, sum(f.bytes) AS used, sum(CASE WHEN u.users = 1 THEN f.bytes ELSE 0 END) AS own FROM ("
            " SELECT DISTINCT run, sha256, (SELECT count(DISTINCT run) FROM file_uses WHERE sha256 = o.sha256) AS users"
            " FROM file_uses AS o) AS u JOIN files AS f ON f.sha256 = u.sha256 GROUP BY u.run"
        )
        found = {row["run"]: (row["used"], row["own"]) for row in rows}
        for run, (_, size) in self.aside().items():
            used, own = found.get(run, (0, 0))
            found[run] = used + size, own + size
        return found

    def aside(self) -> dict[str, tuple[int, int]]:
        """Files that each run has set aside to go on from: how many, and their bytes."""
        rows = self.rows(
            "SELECT t.run, count(*) AS count, sum(c.bytes) AS bytes FROM checkpoints AS c"
            " JOIN trainings AS t ON t.id = c.training GROUP BY t.run"
        )
        return {row["run"]: (row["count"], row["bytes"]) for row in rows}

    # Figures

    def accuracy(self, run: str) -> Rows:
        """`accuracy_by_sparsity` of a run."""
        return self._view("accuracy_by_sparsity", run, "search, arm, split, round")

    def tickets(self, run: str) -> Rows:
        """`ticket_accuracies` of a run: each seed by itself."""
        return self._view("ticket_accuracies", run, "search, arm, split, round, seed")

    def overlap(self, run: str) -> Rows:
        """`overlap_by_round` of a run."""
        return self._view("overlap_by_round", run, "search, sets, seed, round")

    def layer_overlap(self, run: str) -> Rows:
        """`layer_overlaps` of a run."""
        return self._view("layer_overlaps", run, "search, sets, seed, round, position, a, b")

    def cost(self, run: str) -> Rows:
        """`cost_by_round` of a run."""
        return self._view("cost_by_round", run, "search, seed, round")

    def cost_to(self, run: str) -> Rows:
        """`cost_to_sparsity` of a run."""
        return self._view("cost_to_sparsity", run, "search, level")

    def loss(self, run: str) -> Rows:
        """`loss_by_round` of a run."""
        return self._view("loss_by_round", run, "search, seed, round, kind")

    def checks(self, run: str) -> Rows:
        """Questions that were answered, in the order of the preset."""
        return self._of(run, "checks")

    # Progress

    def rounds(self, run: str) -> Rows:
        """Every round with its search, and its ticket's id where it has ended with one."""
        return self.rows(
            "SELECT s.name AS search, s.method, r.id, r.seed, r.round, r.step, r.prunable, r.remaining, r.weights,"
            " r.weights_remaining, r.sparsity, r.total_sparsity, r.images, r.images_forward, r.started, r.ended,"
            " k.id AS ticket FROM searches AS s JOIN rounds AS r ON r.search = s.id"
            " LEFT JOIN tickets AS k ON k.round = r.id WHERE s.run = ? ORDER BY s.id, r.seed, r.round",
            (run,),
        )

    def layers(self, run: str, search: str, seed: int) -> Rows:
        """Weights alive by round, member (None: the common mask) and layer, of one search and seed."""
        return self.rows(
            "SELECT r.round, l.member, l.position, l.layer, l.kind, l.prunable, l.total, l.before, l.alive,"
            " 1.0 - 1.0 * l.alive / l.total AS sparsity FROM searches AS s JOIN rounds AS r ON r.search = s.id"
            " JOIN layers AS l ON l.round = r.id WHERE s.run = ? AND s.name = ? AND r.seed = ?"
            " ORDER BY r.round, l.member, l.position",
            (run, search, seed),
        )

    def members(self, run: str) -> Rows:
        """Every member of every round, with its training and the newest epoch of that."""
        return self.rows(
            "SELECT s.name AS search, r.seed, r.round, m.member, m.segment, t.id AS training, t.state, t.classes,"
            " t.train_images, t.epochs, t.steps, t.images, t.seconds, e.epoch, e.train_loss, e.train_accuracy,"
            " e.validation_loss, e.validation_accuracy FROM searches AS s JOIN rounds AS r ON r.search = s.id"
            " JOIN members AS m ON m.round = r.id JOIN trainings AS t ON t.id = m.training LEFT JOIN epochs AS e"
            " ON e.id = (SELECT id FROM epochs WHERE training = t.id ORDER BY epoch DESC LIMIT 1)"
            " WHERE s.run = ? ORDER BY s.id, r.seed, r.round, m.member",
            (run,),
        )

    def trainings(self, run: str) -> Rows:
        """Everything that is or was trained, in the order it was asked for."""
        return self._of(run, "trainings", "about")

    def epochs(self, run: str, after: int = 0) -> Rows:
        """Epochs of every training, those with an id above `after` only."""
        # Few are new when a live run is followed: then it is quicker to walk the newest ids than the run's trainings.
        join = "epochs AS e CROSS JOIN trainings AS t" if after else "trainings AS t CROSS JOIN epochs AS e"
        return self.rows(
            f"SELECT e.* FROM {join} ON e.training = t.id WHERE t.run = ? AND e.id > ? ORDER BY e.id", (run, after)
        )

    def log(self, run: str, after: int = 0) -> Rows:
        """Lines of the log, those with an id above `after` only."""
        return self.rows("SELECT id, at, level, message FROM log WHERE run = ? AND id > ? ORDER BY id", (run, after))

    def alerts(self, run: str) -> Rows:
        """What a person should know before trusting a figure."""
        return self.rows(
            "SELECT a.id, a.at, a.kind, a.message, s.name AS search, r.seed, r.round FROM alerts AS a"
            " LEFT JOIN rounds AS r ON r.id = a.round LEFT JOIN searches AS s ON s.id = r.search"
            " WHERE a.run = ? ORDER BY a.id",
            (run,),
        )

    # Questions of one's own

    def rows(self, sql: str, params: Sequence[Any] = ()) -> Rows:
        """The rows of a query of ours."""
        with translated(self.path):
            return [dict(row) for row in self._conn.execute(sql, params)]

    def query(self, sql: str, stop: Callable[[], bool] | None = None) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
        """Column names and rows of any one statement that only reads; a `StoreError` for every other.

        Rows come as they are found. Ctrl-C interrupts, however long SQLite would go on; in a thread, `stop` does once
        it says so, which is a `KeyboardInterrupt` as well.
        """
        conn = _open(self.path)
        conn.row_factory = None
        conn.set_authorizer(_permit)
        conn.set_progress_handler(stop or _stay_interruptible, 100_000)
        try:
            with _asked("the query"):
                cursor = conn.execute(sql)
            if cursor.description is None:
                raise StoreError("the query: nothing to read; give one SELECT")
        except BaseException:
            conn.close()
            raise
        return [column[0] for column in cursor.description], _stream(conn, cursor)

    def _view(self, view: str, run: str, order: str) -> Rows:
        return self.rows(f"SELECT * FROM {view} WHERE run = ? ORDER BY {order}", (run,))

    def _of(self, run: str, table: str, *json_columns: str) -> Rows:
        found = self.rows(f"SELECT * FROM {table} WHERE run = ? ORDER BY id", (run,))
        return [_parsed(row, *json_columns) for row in found]


def _open(path: Path) -> sqlite3.Connection:
    """The store, or one without a row where there is none yet, so that all queries have something to ask."""
    try:
        conn = connect_readonly(path)
    except NoStore:
        conn = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        prepare(conn)
        for step in STEPS:
            run_script(conn, step)
        conn.execute("PRAGMA query_only = ON")
    conn.create_function("live_state", 8, partial(_live_state, path))
    return conn


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file lies at `path`; None while there is nothing in it."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_dev, stat.st_ino) if stat.st_size else None


def _live_state(store: Path, state: str, started: str, *attempt: Any) -> str:
    names = ("host", "boot_id", "pid", "pid_started", "ended", "heartbeat")
    newest = None if attempt[0] is None else dict(zip(names, attempt, strict=True))
    return state_of({"state": state, "started": started}, newest, store)


def _permit(action: int, name: str | None, value: str | None, _database: str | None, _view: str | None) -> int:
    """SQLite asks this of everything that a statement would do."""
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_UPDATE and name == "sqlite_master":
        return sqlite3.SQLITE_OK  # how table functions such as json_each declare themselves; the file stays read-only
    if action == sqlite3.SQLITE_FUNCTION and value not in ("load_extension", "fts3_tokenizer"):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and re.fullmatch(PLAIN_PRAGMAS if value is None else ASKING_PRAGMAS, name or ""):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _stay_interruptible() -> None:
    """Python looks for Ctrl-C whenever it runs a line of Python, such as this."""


def _stream(conn: sqlite3.Connection, cursor: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
    try:
        with _asked("the query"):
            yield from cursor
    finally:
        conn.close()


def _parsed(row: dict[str, Any], *columns: str) -> dict[str, Any]:
    return {**row, **{column: json.loads(row[column]) for column in columns}}


def _some(runs: list[str]) -> str:
    shown = ", ".join(runs[:8])
    return shown if len(runs) <= 8 else f"{shown} and {len(runs) - 8} more"


@contextmanager
def _asked(what: str) -> Iterator[None]:
    """Turns whatever SQLite says about somebody's SQL into one line."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        if code == sqlite3.SQLITE_AUTH or str(error) == "not authorized":  # CREATE has no code of its own
            raise StoreError(
                f"{what}: only what reads is allowed (SELECT, VALUES, EXPLAIN, PRAGMA table_info)"
            ) from None
        raise StoreError(f"{what}: {error}") from error
