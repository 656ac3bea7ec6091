# SPDX-License-Identifier: Apache-2.0
"""What `make demo` does after the build, on a board: /usr/bin/python3 -m pytest demo"""
import os
import pathlib
import re
import signal
import subprocess

from lab import agent

DEMO = pathlib.Path(__file__).resolve().parent / "demo"
SECONDS = 240  # what `make demo` may take


def test_the_demo_shows_a_stock_guest():
    """It looks at its guest itself: all that it looks for is there."""
    with subprocess.Popen([DEMO, "--board"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          start_new_session=True) as demo:
        try:
            out, said = demo.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(demo.pid, signal.SIGKILL)
            raise agent.CommandTimeout(f"the demo did not end in {SECONDS} s") from None
    assert demo.returncode == 0, out + said
    assert "WRONG" not in said and len(re.findall(r"^demo: ok: ", said, re.M)) == 10, said
