#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""devtree_dtc_test.py DEVTREE_TEST: dtc, which knows the rules of many bindings, has nothing to say about the trees, and
what they are printed as is the same trees again."""
import pathlib
import subprocess
import sys
import tempfile


def dtc(path, form, *options):
    done = subprocess.run(["dtc", "-I", form, *options, path], capture_output=True, check=False)
    assert done.returncode == 0 and not done.stderr, f"{path.name}: {done.stderr.decode()}"
    return done.stdout


with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.argv[1], folder], check=True)
    trees = sorted(pathlib.Path(folder).glob("*.dtb"))
    assert len(trees) == 3, trees
    for tree in trees:
        source = dtc(tree, "dtb", "-O", "dts")
        assert b'model = "QVM-v8A"' in source
        again = tree.with_suffix(".again")
        # Where the source has numbers in place of labels dtc says so.
        again.write_bytes(dtc(tree.with_suffix(".source"), "dts", "-q", "-O", "dtb"))
        assert dtc(again, "dtb", "-O", "dts") == source, tree.name
