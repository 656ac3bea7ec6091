# SPDX-License-Identifier: Apache-2.0
"""Debian packages by name, with their dependencies, unpacked into a folder of the cache.

apt gets a root of its own in the cache: own package lists, own (empty) list of installed packages, own downloads. It
reads the machine's sources and keys, changes nothing outside the cache and needs no root. What the names stood for is
written down, and the packages are kept, so nothing goes to the network again until `refresh` is set.
"""
import concurrent.futures
import glob
import json
import os
import re
import subprocess
import time

from lab import cache

refresh = False  # set by --refresh: resolve every name again, once
downloaded = {"bytes": 0, "seconds": 0.0}

DOCUMENTATION = ("doc", "man", "locale", "info", "lintian", "bash-completion", "perl", "icu")
_asked = set()  # what this process has asked the network for

CONFIG = """\
#clear APT::Architectures;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::State "{root}";
Dir::State::lists "{root}/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Cache::archives "{root}/debs";
"""


def _root(arch):
    return os.path.join(cache.folder(), f"apt-{arch}")


def _prepare(arch):
    root = _root(arch)
    for name in ("lists/partial", "cache", "debs/partial", "none/partial"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    with open(f"{root}/status", "w", encoding="ascii"):
        pass
    with open(f"{root}/apt.conf", "w", encoding="utf-8") as config:
        config.write(CONFIG.format(arch=arch, root=root))


def _apt(arch, *words):
    done = subprocess.run(["apt-get", "-c", f"{_root(arch)}/apt.conf", "-q", "-y", *words],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"apt-get {' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout


def _stored(arch):
    files = glob.glob(f"{_root(arch)}/lists/*") + glob.glob(f"{_root(arch)}/debs/*.deb")
    return sum(os.path.getsize(path) for path in files)


def _download(names, arch):
    cache.say(f"fetching Debian packages ({arch}): {' '.join(names)}")
    _prepare(arch)
    before, begun = _stored(arch), time.monotonic()
    if arch not in _asked:
        _apt(arch, "update")
        _asked.add(arch)
    # apt lists only what it would fetch, so it is shown a folder with nothing in it.
    listed = _apt(arch, "-o", f"Dir::Cache::archives={_root(arch)}/none", "--print-uris", "install", *names)
    debs = re.findall(r"^'[^']*' (\S+\.deb) (\d+) (\S*)$", listed, re.M)
    _apt(arch, "--download-only", "install", *names)
    seconds, size = time.monotonic() - begun, max(_stored(arch) - before, 0)
    downloaded["bytes"] += size
    downloaded["seconds"] += seconds
    cache.say(f"fetched {size / 1e6:.1f} MB in {seconds:.1f} s")
    return debs


def resolve(names, arch="amd64"):
    """The packages that the names stand for, dependencies included, as [[file, size, checksum], ...]; all are in the cache."""
    record = f"{_root(arch)}/resolved-{cache.key(sorted(names))}.json"
    with cache.lock(f"apt-{arch}"):
        if os.path.exists(record) and not (refresh and record not in _asked):
            debs = json.loads(cache.file_bytes(record))
            if all(os.path.exists(f"{_root(arch)}/debs/{deb[0]}") for deb in debs):
                return debs
        debs = _download(names, arch)
        with open(f"{record}.new", "w", encoding="ascii") as file:
            json.dump(debs, file)
        os.rename(f"{record}.new", record)
        _asked.add(record)
        return debs


def stored(deb, arch="amd64"):
    """The path of a package that `resolve` has named."""
    return f"{_root(arch)}/debs/{deb}"


def tree(name, names, wanted=".*", finish=None, arch="amd64"):
    """A folder holding the packages unpacked (those whose file names match `wanted`, without documentation), not
    configured; `finish(folder)` completes it."""
    debs = [deb for deb in resolve(names, arch) if re.match(wanted, deb[0])]

    def unpack(deb, path):
        left_out = [f"--exclude=./usr/share/{folder}" for folder in DOCUMENTATION]
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", stored(deb[0], arch)],
                              stdout=subprocess.PIPE) as unpacked:
            subprocess.run(["tar", "-x", "-C", path, "--keep-directory-symlink", "--no-same-owner", *left_out],
                           stdin=unpacked.stdout, check=True)
        if unpacked.returncode:
            raise RuntimeError(f"{deb[0]} in the cache cannot be unpacked; remove it and try again")

    def build(path):
        for folder in ("bin", "sbin", "lib", "lib64"):
            os.makedirs(f"{path}/usr/{folder}")
            os.symlink(f"usr/{folder}", f"{path}/{folder}")
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(unpack, debs, [path] * len(debs)))
        if finish:
            finish(path)

    return cache.artifact(name, cache.key(debs, cache.file_bytes(__file__)), build)
