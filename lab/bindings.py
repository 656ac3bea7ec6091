# SPDX-License-Identifier: Apache-2.0
"""The kernel's device tree bindings, from Debian's documentation of it, as dt-validate takes them. Fetched when first asked for."""
import gzip
import os
import pathlib
import re
import subprocess

from lab import cache, packages

FOLDER = "./usr/share/doc/linux-doc-*/Documentation/devicetree/bindings"


def schema():
    """A file for `dt-validate --schema`."""
    debs = packages.resolve(["linux-doc"])
    deb = next(name for name, *_ in debs if re.match(r"linux-doc-\d", name))

    def build(path):
        work = pathlib.Path(path + ".work")
        cache.remove(work)
        work.mkdir()
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", packages.stored(deb)], stdout=subprocess.PIPE) as unpacked:
            subprocess.run(["tar", "-x", "-C", work, "--wildcards", f"{FOLDER}/*.yaml.gz"], stdin=unpacked.stdout, check=True)
        for packed in work.rglob("*.yaml.gz"):
            packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
            packed.unlink()
        # Bindings that this version of the tool cannot read are said and left out.
        with open(os.devnull, "w", encoding="ascii") as nowhere:
            subprocess.run(["dt-mk-schema", "--json", "--outfile", path, work], stderr=nowhere, check=True)
        cache.remove(work)

    return cache.artifact("bindings", cache.key(debs, cache.file_bytes(__file__)), build, ".json")
