# SPDX-License-Identifier: Apache-2.0
"""The cache: every artifact is named by the hash of what went into it and appears there whole or not at all.

$BULKHEAD_CACHE, else ~/.cache/bulkhead. Two runs may build at once: a lock a name makes the second one wait and
then find the artifact. A killed build leaves a .new file or folder, which the next build of that name removes.
"""
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
import time

UNUSED_DAYS = 3


def folder():
    path = os.path.abspath(os.path.expanduser(os.environ.get("BULKHEAD_CACHE") or "~/.cache/bulkhead"))
    os.makedirs(path, exist_ok=True)
    return path


def say(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def lock(name):
    """Held by this process alone while the block runs; ends by itself with the process."""
    with open(os.path.join(folder(), f"{name}.lock"), "w", encoding="ascii") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def key(*parts):
    """A hash of strings, lists, dicts (by value) and of bytes."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()[:20]


def file_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def artifact(name, hashed, build, suffix=""):
    """The path of the artifact NAME with that hash; `build(path)` makes it where it is missing."""
    path = os.path.join(folder(), f"{name}-{hashed}{suffix}")
    if not os.path.exists(path):
        with lock(name):
            if not os.path.exists(path):
                _build(name, path, build)
    os.utime(path)
    return path


def _build(name, path, build):
    new = os.path.join(folder(), f"{name}.new")
    remove(new)
    say(f"making {name}")
    begun = time.monotonic()
    build(new)
    os.utime(new)  # what was unpacked may carry an old date
    os.rename(new, path)
    say(f"made {name} in {time.monotonic() - begun:.1f} s")
    oldest = time.time() - UNUSED_DAYS * 86400
    for entry in os.scandir(folder()):
        stem = entry.name.split(".")[0].rpartition("-")[0]
        if stem == name and entry.stat().st_mtime < oldest:
            remove(entry.path)
