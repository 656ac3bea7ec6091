#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""devtree_dtc_test.py DEVTREE_TEST: dtc, which knows the rules of many bindings, has nothing to say about the trees."""
import pathlib
import subprocess
import sys
import tempfile

with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.argv[1], folder], check=True)
    trees = sorted(pathlib.Path(folder).glob("*.dtb"))
    assert len(trees) == 3, trees
    for tree in trees:
        done = subprocess.run(["dtc", "-I", "dtb", "-O", "dts", tree], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and not done.stderr, f"{tree.name}: {done.stderr}"
        assert 'model = "QVM-v8A"' in done.stdout
