"""Opening the store: the settings every connection has, migrations, transactions, and errors in one line.

SQLite is safe for many processes only when it is asked the right way; this is the one place that asks.
"""

from __future__ import annotations

import glob
import math
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from store.errors import NoStore, StoreError, Unusable
from store.liveness import newest_attempt, state_of
from store.migrations import STEPS, only_adds
from store.mounts import shared_file_system

APPLICATION_ID = 0x746F6D62
"""Marks a file as ours in its header: "tomb" in ASCII."""

BUSY_SECONDS = 30.0
"""How long to wait for another writer; the longest transaction of an engine takes a fraction of a second."""

DEAF_SECONDS = 0.5
"""A wait for another writer is cut into pieces of this length: SQLite lets no handler of a signal run in one."""

OLDEST_SQLITE = (3, 38, 0)
"""STRICT tables came with 3.37, JSON functions in every build with 3.38."""


def now() -> str:
    """The present moment as every table spells it: UTC, ISO 8601, microseconds, Z."""
    return spelled(datetime.now(UTC))


def spelled(moment: datetime) -> str:
    """A moment of UTC as `now` spells it."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def path_of(conn: sqlite3.Connection) -> Path:
    """The file that a connection is open on."""
    return Path(conn.execute("PRAGMA database_list").fetchone()[2])


def connect(path: Path, patience: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection that may write, and waits `patience` seconds for other writers. Makes the file and brings its schema
    up to date where needed.

    Raises:
        Unusable: it cannot be opened now.
        StoreError: it is no store, or of a newer version, or of an older one that an engine still writes.
    """
    _check_sqlite()
    _make_file(path)
    with translated(path):
        conn = sqlite3.connect(path, timeout=patience, isolation_level=None)
    try:
        with translated(path, patience):
            prepare(conn)
            version = _version(conn, path)
            conn.execute("PRAGMA foreign_keys = ON")
            _choose_journal(conn, path, new=version == 0)
            if version < len(STEPS):
                _migrate(conn, path)
    except BaseException:
        conn.close()
        raise
    return conn


def connect_readonly(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, to a store that exists; `NoStore` otherwise. Threads may hand it on."""
    _check_sqlite()
    if not path.exists():
        raise NoStore(f"there is no store at {path}")
    conn, version = _open_readonly(path)
    if version == len(STEPS):
        return conn
    conn.close()
    if version == 0:
        raise NoStore(f"there is nothing in the store {path} yet")
    connect(path).close()  # brings an older store up to date
    return _open_readonly(path)[0]


def _open_readonly(path: Path) -> tuple[sqlite3.Connection, int]:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with translated(path):
        try:
            return _opened(uri, path)
        except sqlite3.OperationalError:
            # Reading a WAL store means making a file beside it, even when nobody writes. In a folder that does not
            # allow that, a store whose log is empty is complete in itself, and is read as a file that never changes.
            if not _is_settled(path):
                raise
            return _opened(f"{uri}&immutable=1", path)


def _opened(uri: str, path: Path) -> tuple[sqlite3.Connection, int]:
    conn = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        prepare(conn)
        conn.execute("PRAGMA query_only = ON")
        return conn, _version(conn, path)
    except BaseException:
        conn.close()
        raise


def prepare(conn: sqlite3.Connection) -> None:
    """What our queries expect of every connection: rows with names, and the square root that the views take."""
    conn.row_factory = sqlite3.Row
    try:
        conn.execute("SELECT sqrt(1)")
    except sqlite3.OperationalError:  # an SQLite built without its mathematical functions
        conn.create_function("sqrt", 1, lambda x: None if x is None else math.sqrt(x), deterministic=True)


def _is_settled(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        return False
    return os.access(path, os.R_OK) and not os.access(path.parent, os.W_OK)


def _check_sqlite() -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise StoreError(f"this Python has SQLite {sqlite3.sqlite_version}; the store needs {needed} or newer")


def _make_file(path: Path) -> None:
    """An empty file that only its owner may read, whatever the umask; SQLite gives its companions the same mode."""
    if path.is_dir():
        raise StoreError(f"{path} is a folder, not a store")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"cannot make the store {path}: {error.strerror}") from error


def _version(conn: sqlite3.Connection, path: Path) -> int:
    """The number of steps that made this database; 0 for an empty file. Refuses what is not ours or newer."""
    # In one statement, which sees one moment: another process may be making the store.
    version, application, filled = conn.execute(
        "SELECT (SELECT user_version FROM pragma_user_version), (SELECT application_id FROM pragma_application_id),"
        " EXISTS (SELECT 1 FROM sqlite_schema)"
    ).fetchone()
    if application != APPLICATION_ID:
        if version or application or filled:
            raise StoreError(f"{path} is an SQLite database, but not a Tombola store")
        return 0
    if version > len(STEPS):
        raise StoreError(
            f"{path} was written by a newer Tombola (schema {version}; this one knows {len(STEPS)}): upgrade to open it"
        )
    return version


def _migrate(conn: sqlite3.Connection, path: Path) -> None:
    """Apply the missing steps, whole or not at all. Of several processes that try, one does it and the others wait.

    What an older version made is copied first. An engine of that version that still writes would fail on a table or
    column that has gone, so it is waited out, unless the steps only add.
    """
    with transaction(conn):
        version = _version(conn, path)
        steps = STEPS[version:]
        if version and steps:
            if not all(only_adds(step) for step in steps):
                _refuse_while_written(conn, path)
            copy = _copy_aside(path, version)
        for step in steps:
            run_script(conn, step)
        conn.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        conn.execute(f"PRAGMA user_version = {len(STEPS)}")
    if version and steps:
        print(f"{path} was brought from schema {version} to {len(STEPS)}; as it was it lies in {copy}", file=sys.stderr)


def _refuse_while_written(conn: sqlite3.Connection, path: Path) -> None:
    for run in conn.execute("SELECT * FROM runs WHERE state = 'running'").fetchall():
        attempt = newest_attempt(conn, run["id"])
        if state_of(dict(run), attempt, path) == "running":
            where = f" (process {attempt['pid']} on {attempt['host']})" if attempt else ""
            raise StoreError(
                f"{path} is of an older version, and an engine of that version still trains {run['id']}{where}:"
                " let it end, or stop it, and open the store then"
            )


def copies_of(path: Path) -> list[Path]:
    """The copies of a store that were kept when newer versions changed it."""
    return sorted(path.parent.glob(f"{glob.escape(path.name)}.schema-*"))


def _copy_aside(path: Path, version: int) -> Path:
    """Copy the store, which nobody else writes now, to a name with its version; gives back where."""
    copy = path.with_name(f"{path.name}.schema-{version}")
    begun = path.with_name(f"{copy.name}.part")
    begun.unlink(missing_ok=True)
    try:
        os.close(os.open(begun, os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o600))
        with (
            closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(begun)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode = delete")  # one file, whole in itself
        with begun.open("rb") as file:
            os.fsync(file.fileno())
        begun.replace(copy)
    except (OSError, sqlite3.Error) as error:
        for left in (begun, begun.with_name(f"{begun.name}-journal")):
            left.unlink(missing_ok=True)
        raise StoreError(
            f"{path} is of an older version, and no copy can be kept of it ({error}): make room"
        ) from error
    return copy


def run_script(conn: sqlite3.Connection, script: str) -> None:
    """Every statement of `script`, within the open transaction, which `executescript` would commit.

    A statement ends at the end of a line.
    """
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            conn.execute(statement)
            statement = ""
    if statement.strip():
        raise ValueError("the script ends in the middle of a statement")


def _choose_journal(conn: sqlite3.Connection, path: Path, new: bool) -> None:
    """WAL for a new store, so that readers and the writer never wait for each other; none on a shared file system.

    An older store without WAL stays so: another machine may see its file system as shared where this one does not.
    """
    mode = conn.execute("PRAGMA journal_mode").fetchone()[0]
    shared = shared_file_system(path)
    if mode == "wal" and shared:
        mode = _set_journal(conn, "delete")
    elif mode != "wal" and new and not shared:
        mode = _set_journal(conn, "wal")
    # With WAL, NORMAL cannot corrupt: power loss costs the newest transactions, which a resumed run writes again.
    conn.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")


def _set_journal(conn: sqlite3.Connection, mode: str) -> str:
    """Change the journal mode and give back the one in force: the old one stays where the new cannot work."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return conn.execute(f"PRAGMA journal_mode = {mode}").fetchone()[0]
        except sqlite3.OperationalError as error:
            if mode == "wal" and _kind(error) in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL):
                return "delete"  # a file system without shared memory or locks that the mount table did not give away
            # The change needs the file alone and does not wait for it by itself.
            if _kind(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def journal_note(conn: sqlite3.Connection, path: Path) -> str:
    """What is to be said of the store's journal; empty where it is WAL, as it should be."""
    mode = conn.execute("PRAGMA journal_mode").fetchone()[0]
    if mode == "wal":
        return ""
    kind = shared_file_system(path)
    why = f"on {kind}, which several machines may share," if kind else "where WAL was not possible, or once was not,"
    return f"{why} the store has a rollback journal: as safe, but slower, and writers and readers wait for each other"


def busy_seconds(conn: sqlite3.Connection) -> float:
    """How long a connection waits for others."""
    return conn.execute("PRAGMA busy_timeout").fetchone()[0] / 1000


@contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[None]:
    """Everything in the block is written, or nothing. A block inside another joins it.

    BEGIN IMMEDIATE waits for the other writers first: a transaction that reads, then turns to writing, fails under WAL.
    """
    if conn.in_transaction:
        yield
        return
    patience = busy_seconds(conn)
    with translated(path_of(conn), patience):
        _begin(conn, patience)
        try:
            yield
            conn.execute("COMMIT")
        except BaseException:
            if conn.in_transaction:  # a full disk may have rolled back already
                conn.execute("ROLLBACK")
            raise


def _begin(conn: sqlite3.Connection, patience: float) -> None:
    """Begin to write once the other writers are done; whoever is asked to end meanwhile hears it."""
    until = time.monotonic() + patience
    try:
        while True:
            _wait_at_most(conn, min(DEAF_SECONDS, max(0.0, until - time.monotonic())))
            try:
                conn.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if _kind(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                    raise
    finally:
        _wait_at_most(conn, patience)


def _wait_at_most(conn: sqlite3.Connection, seconds: float) -> None:
    conn.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")


def _kind(error: sqlite3.Error) -> int:
    """The primary result code: extended codes keep it in their low byte."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


@contextmanager
def translated(path: Path, waited: float = BUSY_SECONDS) -> Iterator[None]:
    """What can go wrong with a file becomes one clear line, `Unusable`; a fault in our own SQL stays what it is."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        reason = {
            sqlite3.SQLITE_NOTADB: f"{path} is not an SQLite database",
            sqlite3.SQLITE_CORRUPT: f"the store {path} is damaged ({error}); restore a copy",
            sqlite3.SQLITE_FULL: f"the disk that holds the store {path} is full; nothing of this step was written",
            sqlite3.SQLITE_READONLY: f"the store {path} cannot be written: it or its folder is read-only",
            sqlite3.SQLITE_CANTOPEN: f"cannot open the store {path}: it or its folder cannot be written to or read",
            sqlite3.SQLITE_PERM: f"no permission to open the store {path}",
            sqlite3.SQLITE_BUSY: f"the store {path} has been locked by another program for {waited:.2g} s",
            sqlite3.SQLITE_IOERR: f"the file system failed under the store {path} ({error})",
            sqlite3.SQLITE_PROTOCOL: f"the file system cannot lock the store {path} ({error})",
        }.get(_kind(error))
        if reason is None:
            raise
        raise Unusable(reason) from error
