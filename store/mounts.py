"""Which file system a place lies on, by the mount table, and whether several machines may share it."""

from __future__ import annotations

import re
from pathlib import Path

SHARED_FILE_SYSTEMS = (
    r"(9p|afs|beegfs|ceph|cifs|gfs2?|glusterfs|gpfs|lustre|ncpfs|nfs4?|ocfs2|orangefs|panfs|prl_fs|pvfs2"
    r"|smb[23]|smbfs|sshfs|vboxsf|virtiofs|vmhgfs|wekafs"
    r"|fuse|fuse\.(?!(bindfs|encfs|ext2|fuse-overlayfs|gocryptfs|mergerfs|squashfuse|unionfs)$).*)"
)
"""Several machines may hold these mounted, and WAL needs memory that all its users share. Of what a program serves
(FUSE) only those are trusted that are known to lie on this machine: many have no such memory."""


def shared_file_system(path: Path) -> str | None:
    """The type of a file system where WAL cannot be trusted, or None; known from the mount table."""
    try:
        table = Path("/proc/self/mounts").read_text(errors="replace")
    except OSError:
        return None
    kind = mount_type(table, path.resolve())
    return kind if re.fullmatch(SHARED_FILE_SYSTEMS, kind) else None


def mount_type(table: str, path: Path) -> str:
    """Type of the file system that holds the absolute `path`, by the text of a mount table; empty when unknown."""
    best, kind = -1, ""
    for line in table.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[1]))
        # Later lines cover earlier ones that are mounted at the same place.
        if len(point.parts) >= best and path.is_relative_to(point):
            best, kind = len(point.parts), fields[2]
    return kind
