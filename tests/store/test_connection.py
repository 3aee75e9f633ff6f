"""The store opens safely for many processes, and says in one line why it cannot."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import connection, mounts
from store.connection import connect, connect_readonly, now, transaction
from store.errors import NoStore, StoreError
from store.migrations import STEPS
from store.mounts import mount_type
from store.reading import Reader
from store.writing import Writer

PlainUser = Callable[[Callable[[], object]], str]


def pragma(conn: sqlite3.Connection, name: str) -> object:
    return conn.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_new_store_is_private_and_safe_for_readers_beside_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "tombola.db"
    before = os.umask(0)
    try:
        with closing(connect(path)) as conn:
            assert pragma(conn, "journal_mode") == "wal"
            assert pragma(conn, "synchronous") == 1
            assert pragma(conn, "foreign_keys") == 1
            assert pragma(conn, "user_version") == len(STEPS)
            companions = sorted(file.name for file in path.parent.iterdir())
            assert companions == ["tombola.db", "tombola.db-shm", "tombola.db-wal"]
            assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_opening_again_changes_nothing(path: Path) -> None:
    connect(path).close()
    before = path.read_bytes()
    connect(path).close()
    assert path.read_bytes() == before


def test_processes_that_migrate_at_once_all_succeed(path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from store.connection import connect\n"
        "sys.stdin.readline(); conn = connect(Path(sys.argv[1]))\n"
        "print(conn.execute('SELECT count(*) FROM student').fetchone()[0])"
    )
    for attempt in range(4):
        fresh = path.with_name(f"{attempt}.db")
        command = [sys.executable, "-c", script, str(fresh)]
        pipe = subprocess.PIPE
        root = Path(__file__).parents[2]
        processes = [
            subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)
        ]
        for process in processes:  # all have imported what they need, or soon will
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            out, err = process.communicate(timeout=60)
            assert (process.returncode, out.strip(), err) == (0, "99", "")


def test_steps_after_the_first_are_applied_once_and_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(path).close()
    monkeypatch.setattr(connection, "STEPS", [*STEPS, "CREATE TABLE two (a);", "INSERT INTO two VALUES (2);"])
    with closing(connect(path)) as conn, closing(connect(path)) as other:
        assert [row[0] for row in other.execute("SELECT a FROM two")] == [2]
        assert pragma(conn, "user_version") == len(STEPS) + 2


def test_a_reader_brings_an_older_store_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(path).close()
    monkeypatch.setattr(connection, "STEPS", [*STEPS, "CREATE TABLE two (a);"])
    with closing(connect_readonly(path)) as conn:
        assert conn.execute("SELECT count(*) FROM two").fetchone()[0] == 0


def test_a_step_that_fails_leaves_the_store_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(path).close()
    monkeypatch.setattr(connection, "STEPS", [*STEPS, "CREATE TABLE two (a);\nCREATE TABLE runs (a);"])
    with pytest.raises(sqlite3.OperationalError, match="runs already exists"):
        connect(path)
    monkeypatch.undo()
    with closing(connect(path)) as conn:
        assert not conn.execute("SELECT 1 FROM sqlite_schema WHERE name = 'two'").fetchone()


@pytest.mark.parametrize("opening", [connect, connect_readonly, Reader])
def test_a_store_of_a_newer_version_is_refused(path: Path, opening: Callable[[Path], object]) -> None:
    with closing(connect(path)) as conn:
        conn.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    with pytest.raises(StoreError, match=r"newer Tombola \(schema \d+; this one knows \d+\): upgrade"):
        opening(path)


@pytest.mark.parametrize("opening", [connect, connect_readonly, Reader])
@pytest.mark.parametrize(
    "content", [b"hello, this is a text file", b"x" * 10_000, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_file_that_is_no_database_is_refused_and_kept(
    path: Path, opening: Callable[[Path], object], content: bytes
) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"tombola\.db is not an SQLite database"):
        opening(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("opening", [connect, connect_readonly, Reader])
def test_the_database_of_another_program_is_refused_and_kept(path: Path, opening: Callable[[Path], object]) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE theirs (a)")
    content = path.read_bytes()
    with pytest.raises(StoreError, match="not a Tombola store"):
        opening(path)
    assert path.read_bytes() == content


def test_a_folder_in_the_place_of_the_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        connect(tmp_path)
    with pytest.raises(StoreError):
        connect_readonly(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot make the store"):
        connect(tmp_path / "file" / "tombola.db")


def test_a_missing_or_empty_store_is_told_apart_from_a_faulty_one(path: Path) -> None:
    with pytest.raises(NoStore):
        connect_readonly(path)
    path.touch()
    with pytest.raises(NoStore):
        connect_readonly(path)


def test_an_sqlite_too_old_for_strict_tables_and_json_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
    for opening in (connect, connect_readonly):
        with pytest.raises(StoreError, match=r"needs 3\.38\.0 or newer"):
            opening(path)
    assert not path.exists()


def test_an_sqlite_without_mathematical_functions_still_gives_intervals(path: Path) -> None:
    class Lacking(sqlite3.Connection):
        def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
            if sql == "SELECT sqrt(1)":
                raise sqlite3.OperationalError("no such function: sqrt")
            return super().execute(sql, *args)  # type: ignore[arg-type]

    with closing(sqlite3.connect(":memory:", factory=Lacking)) as conn:
        connection.prepare(conn)
        cursor = sqlite3.Connection.execute(conn, "SELECT sqrt(16.0), sqrt(NULL)")
        assert tuple(cursor.fetchone()) == (4.0, None)


def test_a_folder_that_cannot_be_written_is_one_clear_line(open_folder: Path, plain_user: PlainUser) -> None:
    open_folder.chmod(0o555)
    said = plain_user(lambda: connect(open_folder / "tombola.db"))
    assert re.fullmatch(r"StoreError: cannot make the store .*: Permission denied", said)


def test_a_store_that_cannot_be_written_is_one_clear_line(open_folder: Path, plain_user: PlainUser) -> None:
    path = open_folder / "tombola.db"
    connect(path).close()
    path.chmod(0o444)

    def write() -> None:
        with Writer(path) as writer:
            writer.insert("student", {"df": 1000, "t975": 1.96})

    for mode in (0o777, 0o555):
        open_folder.chmod(mode)
        said = plain_user(write)
        assert re.fullmatch(r"Unusable: .*tombola\.db.*(read-only|cannot be written).*", said), said
        assert "\n" not in said


def test_a_store_in_a_folder_that_cannot_be_written_can_be_read(open_folder: Path, plain_user: PlainUser) -> None:
    path = open_folder / "tombola.db"
    connect(path).close()
    path.chmod(0o444)
    open_folder.chmod(0o555)
    said = plain_user(lambda: list(Reader(path).query("SELECT count(*) FROM student")[1]))
    assert said == "[(99,)]"
    assert sorted(file.name for file in open_folder.iterdir()) == ["tombola.db"]


def test_unfinished_writes_in_a_folder_that_cannot_be_written_are_never_passed_over(
    open_folder: Path, plain_user: PlainUser
) -> None:
    path = open_folder / "tombola.db"
    with closing(connect(path)) as conn:
        conn.execute("INSERT INTO student VALUES (1000, 1.96)")
        copy = open_folder / "copy"
        copy.mkdir()
        for name in ("tombola.db", "tombola.db-wal"):  # as a crash leaves it, or a careless copy
            (copy / name).write_bytes((open_folder / name).read_bytes())
            (copy / name).chmod(0o444)
        copy.chmod(0o555)
    said = plain_user(lambda: list(Reader(copy / "tombola.db").query("SELECT count(*) FROM student")[1]))
    copy.chmod(0o777)
    assert said == "[(100,)]" or said.startswith("Unusable: cannot open the store"), said


def test_readers_see_a_store_whether_or_not_somebody_writes(path: Path) -> None:
    with closing(connect(path)) as conn:
        conn.execute("INSERT INTO student VALUES (1000, 1.96)")
        with transaction(conn):
            conn.execute("INSERT INTO student VALUES (1001, 1.96)")
            with closing(connect_readonly(path)) as reader:
                assert reader.execute("SELECT count(*) FROM student").fetchone()[0] == 100
    with closing(connect_readonly(path)) as reader:
        assert reader.execute("SELECT count(*) FROM student").fetchone()[0] == 101


def test_a_reading_connection_cannot_write(path: Path) -> None:
    connect(path).close()
    with closing(connect_readonly(path)) as conn, pytest.raises(sqlite3.OperationalError, match="readonly"):
        conn.execute("DELETE FROM student")


def test_a_full_disk_is_one_clear_line_and_nothing_of_the_step_is_written(path: Path) -> None:
    with closing(connect(path)) as conn:
        conn.execute(f"PRAGMA max_page_count = {pragma(conn, 'page_count')}")

        def write_much() -> None:
            with transaction(conn):
                conn.execute("DELETE FROM student WHERE df = 1")
                conn.execute("CREATE TABLE big AS SELECT randomblob(1000000) AS a")

        with pytest.raises(StoreError, match=r"disk that holds the store .* is full"):
            write_much()
        assert conn.execute("SELECT count(*) FROM student").fetchone()[0] == 99
        assert not conn.in_transaction


def test_a_store_that_stays_locked_is_one_clear_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    with closing(connect(path)) as one, closing(connect(path)) as other, transaction(one):
        waiting = transaction(other)
        with pytest.raises(StoreError, match="locked by another program"):
            waiting.__enter__()


def test_a_damaged_store_is_one_clear_line(path: Path) -> None:
    connect(path).close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        Reader(path).runs()


def test_a_transaction_is_whole_or_nothing_and_joins_the_one_around_it(path: Path) -> None:
    with closing(connect(path)) as conn:

        def write_and_fail() -> None:
            with transaction(conn):
                with transaction(conn):
                    conn.execute("DELETE FROM student")
                assert conn.in_transaction
                raise RuntimeError

        with pytest.raises(RuntimeError):
            write_and_fail()
        assert conn.execute("SELECT count(*) FROM student").fetchone()[0] == 99


def test_a_fault_of_ours_is_not_disguised_as_one_of_the_disk(path: Path) -> None:
    with closing(connect(path)) as conn:
        with pytest.raises(sqlite3.IntegrityError), transaction(conn):
            conn.execute("INSERT INTO student VALUES (1, 1.0)")
        with pytest.raises(FileNotFoundError), transaction(conn):
            Path("/nowhere/at/all").read_text()


def test_moments_are_utc_with_microseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", now())


# Where WAL cannot be trusted

TABLE = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb /home/local xfs rw 0 0
10.0.0.1@o2ib:/scratch /scratch lustre rw 0 0
me@box:/data /mnt/with\\040blank fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/var/lib/tombola.db", "ext4"),
        ("/home/me/tombola.db", "nfs4"),
        ("/home/local/me/tombola.db", "xfs"),
        ("/homer/tombola.db", "ext4"),
        ("/scratch/tombola.db", "lustre"),
        ("/mnt/with blank/tombola.db", "fuse.sshfs"),
    ],
)
def test_the_mount_table_tells_the_file_system_of_a_place(place: str, kind: str) -> None:
    assert mount_type(TABLE, Path(place)) == kind


@given(st.text(), st.text(alphabet="abc/", max_size=10))
def test_no_mount_table_is_too_strange(table: str, place: str) -> None:
    assert isinstance(mount_type(table, Path("/" + place.lstrip("/"))), str)


REAL = r"""
sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0
overlay / overlay rw,relatime,lowerdir=/var/lib/docker/overlay2/l/A:/var/lib/docker/overlay2/l/B,workdir=/w 0 0
tmpfs /dev/shm tmpfs rw,nosuid,nodev,inode64 0 0
/dev/nvme0n1p2 /scratch/local ext4 rw,relatime,errors=remount-ro 0 0
filer.example.org:/vol/home /home nfs rw,vers=3,rsize=65536,hard,proto=tcp,mountaddr=10.1.0.5,local_lock=none 0 0
10.1.0.7:/export/data /data nfs4 rw,relatime,vers=4.2,hard,proto=tcp,clientaddr=10.1.3.9,addr=10.1.0.7 0 0
10.2.0.1@o2ib:10.2.0.2@o2ib:/work /work lustre rw,checksum,flock,user_xattr,lruresize,lazystatfs 0 0
gpfs1 /gpfs/gpfs1 gpfs rw,relatime 0 0
//nas/projects /mnt/projects cifs rw,relatime,vers=3.1.1,cache=strict,username=me,uid=1000,addr=10.1.0.9 0 0
user@login:/home/user /home/user/remote fuse.sshfs rw,nosuid,nodev,relatime,user_id=1000,group_id=1000 0 0
gcsfuse /mnt/bucket fuse.gcsfuse rw,nosuid,nodev,relatime,user_id=0,group_id=0,default_permissions 0 0
s3 /mnt/s3 fuse rw,nosuid,nodev,relatime,user_id=1000,group_id=1000 0 0
/dev/sdb1 /media/usb fuseblk rw,nosuid,nodev,relatime,user_id=0,group_id=0,blksize=4096 0 0
fuse-overlayfs /var/tmp/rootless fuse.fuse-overlayfs rw,nodev,noatime,user_id=0,group_id=0 0 0
beegfs_nodev /mnt/beegfs beegfs rw,relatime,cfgFile=/etc/beegfs/beegfs-client.conf 0 0
10.3.0.1:6789,10.3.0.2:6789:/ /ceph ceph rw,relatime,name=admin,secret=<hidden>,acl 0 0
drvfs /mnt/c 9p rw,noatime,dirsync,aname=drvfs;path=C:\134;uid=1000,access=client,trans=fd 0 0
auto.home /net autofs rw,relatime,fd=6,pgrp=1234,timeout=300,indirect,direct 0 0
filer:/vol/tools /net/tools nfs4 rw,relatime,vers=4.1 0 0
"""
"""Lines as the kernel writes them, of machines that people train on."""


@pytest.mark.parametrize(
    ("place", "kind", "shared"),
    [
        ("/root/t.db", "overlay", False),
        ("/scratch/local/t.db", "ext4", False),
        ("/dev/shm/t.db", "tmpfs", False),
        ("/home/me/t.db", "nfs", True),
        ("/data/t.db", "nfs4", True),
        ("/work/group/t.db", "lustre", True),
        ("/gpfs/gpfs1/t.db", "gpfs", True),
        ("/mnt/projects/t.db", "cifs", True),
        ("/home/user/remote/t.db", "fuse.sshfs", True),
        ("/mnt/bucket/t.db", "fuse.gcsfuse", True),
        ("/mnt/s3/t.db", "fuse", True),
        ("/media/usb/t.db", "fuseblk", False),
        ("/var/tmp/rootless/t.db", "fuse.fuse-overlayfs", False),
        ("/mnt/beegfs/t.db", "beegfs", True),
        ("/ceph/t.db", "ceph", True),
        ("/mnt/c/Users/t.db", "9p", True),
        ("/net/tools/t.db", "nfs4", True),
    ],
)
def test_real_mount_tables_tell_where_machines_share_a_file(place: str, kind: str, shared: bool) -> None:
    assert mount_type(REAL, Path(place)) == kind
    assert bool(re.fullmatch(mounts.SHARED_FILE_SYSTEMS, kind)) == shared


def test_a_file_system_without_shared_memory_is_found_by_trying(path: Path) -> None:
    # SQLite's locks by dot-files have no shared memory, as on a file system that the mount table does not give away.
    with closing(sqlite3.connect(f"{path.as_uri()}?vfs=unix-dotfile", uri=True, isolation_level=None)) as conn:
        assert connection._set_journal(conn, "wal") == "delete"
        assert "WAL was not possible" in connection.journal_note(conn, path)


def test_what_is_said_of_the_journal_names_the_file_system(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(connect(path)) as conn:
        assert connection.journal_note(conn, path) == ""
    monkeypatch.setattr(connection, "shared_file_system", lambda path: "nfs4")
    with closing(connect(path)) as conn:
        assert connection.journal_note(conn, path).startswith(
            "on nfs4, which several machines may share, the store has"
        )


def test_every_kind_of_shared_file_system_is_known() -> None:
    shared = ["nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "fuse.sshfs", "9p", "fuse.glusterfs", "ceph"]
    local = ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "apfs", "fuse.ext2", "f2fs", ""]
    assert all(re.fullmatch(mounts.SHARED_FILE_SYSTEMS, kind) for kind in shared)
    assert not any(re.fullmatch(mounts.SHARED_FILE_SYSTEMS, kind) for kind in local)


def test_on_a_shared_file_system_the_store_uses_a_rollback_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(connect(path)) as conn:
        assert pragma(conn, "journal_mode") == "wal"
    monkeypatch.setattr(connection, "shared_file_system", lambda path: "nfs4")  # it was moved there
    with closing(connect(path)) as conn:
        assert pragma(conn, "journal_mode") == "delete"
        assert pragma(conn, "synchronous") == 2
        conn.execute("INSERT INTO student VALUES (1000, 1.96)")
        assert Reader(path).rows("SELECT count(*) AS n FROM student") == [{"n": 100}]
    monkeypatch.undo()  # the machine that serves the files calls them local
    with closing(connect(path)) as conn:
        assert pragma(conn, "journal_mode") == "delete"


def test_a_new_store_on_a_shared_file_system_never_has_wal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "shared_file_system", lambda path: "lustre")
    with closing(connect(path)) as conn:
        assert pragma(conn, "journal_mode") == "delete"
        assert conn.execute("SELECT count(*) FROM student").fetchone()[0] == 99


def test_a_file_system_that_fails_at_wal_falls_back_to_a_rollback_journal() -> None:
    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
            error = sqlite3.OperationalError("locking protocol")
            error.sqlite_errorcode = sqlite3.SQLITE_PROTOCOL
            raise error

    with closing(sqlite3.connect(":memory:", factory=Failing)) as conn:
        assert connection._set_journal(conn, "wal") == "delete"
