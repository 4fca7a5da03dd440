"""The text of every recorded version, each file's text stored once."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Mapping
from typing import Any

from .errors import StoreError


def put(
    connection: sqlite3.Connection, files: Mapping[str, str], git: Mapping[str, Any], now: str
) -> str:
    """Store `files` (path -> text) and return their version: 10 hex digits of their hash."""
    blobs = {path: text.encode("utf-8", "surrogatepass") for path, text in files.items()}
    hashes = {path: hashlib.sha256(data).hexdigest() for path, data in blobs.items()}
    listing = "".join(f"{hashes[path]} {path}\n" for path in sorted(files))
    version = hashlib.sha256(listing.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    known = connection.execute("SELECT 1 FROM versions WHERE version = ?", (version,)).fetchone()
    if known:
        return version
    diff = git.get("dirty_diff")
    connection.execute(
        "INSERT INTO versions VALUES (?, ?, ?, ?, ?)",
        (version, now, git.get("branch"), git.get("commit"), None if diff is None else bool(diff)),
    )
    for path, digest in hashes.items():
        data = zlib.compress(blobs[path])
        connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (digest, data))
        connection.execute("INSERT INTO sources VALUES (?, ?, ?)", (version, path, digest))
    return version


def get(connection: sqlite3.Connection, version: str) -> dict[str, str]:
    """The files of a version.  Raises StoreError if there is no such version."""
    rows = connection.execute(
        "SELECT path, text FROM sources JOIN blobs USING (blob) WHERE version = ? ORDER BY path",
        (version,),
    ).fetchall()
    if not rows:
        known = connection.execute("SELECT 1 FROM versions WHERE version = ?", (version,))
        if not known.fetchone():
            raise StoreError(f"no version {version!r} in the store")
    return {path: zlib.decompress(data).decode("utf-8", "surrogatepass") for path, data in rows}
