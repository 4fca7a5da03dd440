"""Whether a path is on a file system that several machines may share."""

from __future__ import annotations

import os
import re
from pathlib import Path

NETWORK = frozenset(
    (
        "nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs",
        "beegfs", "glusterfs", "ocfs2", "gfs2", "orangefs", "pvfs2", "panfs", "wekafs", "9p",
        "davfs", "ncpfs", "coda", "virtiofs", "prl_fs", "vboxsf", "fuse.sshfs", "fuse.glusterfs",
        "fuse.cephfs", "fuse.ceph-fuse", "fuse.juicefs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone",
        "fuse.mfs", "fuse.moosefs", "fuse.davfs2", "fuse.smbnetfs", "fuse.lustre", "fuse.blobfuse",
        "fuse.blobfuse2", "fuse.goofys", "fuse.mount-s3", "webdav", "afpfs", "macfuse", "osxfuse",
    )
)  # fmt: skip
"""Types by the kernel's names.  SQLite's WAL needs memory that all processes share: one machine."""

OVERRIDE = "FLOR_NETWORK_STORE"
"""Environment variable that decides for itself: "1" (shared by machines) or "0"."""

MOUNTS = Path("/proc/self/mountinfo")


def on_network(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether `path` (which need not exist) lies on one of NETWORK; False if that is unknown."""
    told = os.environ.get(OVERRIDE, "")
    if told in ("0", "1"):
        return told == "1"
    return (kind(path, mounts) or "").lower() in NETWORK


def kind(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The type of the file system that holds `path`, as the kernel calls it."""
    place = os.path.realpath(path)
    best, found = -1, None
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), fields[4])
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # the last one mounted there hides the others
            best, found = len(point), right.split()[0]
    return found
