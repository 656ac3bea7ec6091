# SPDX-License-Identifier: Apache-2.0
"""What `make demo` does after the build, on a board: /usr/bin/python3 -m pytest demo"""
import pathlib
import re
import subprocess

DEMO = pathlib.Path(__file__).resolve().parent / "demo"


def test_the_demo_shows_a_stock_guest():
    """It looks at its guest itself: all that it looks for is there."""
    done = subprocess.run([DEMO, "--board"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WRONG" not in done.stderr and len(re.findall(r"^demo: ok: ", done.stderr, re.M)) == 10, done.stderr
