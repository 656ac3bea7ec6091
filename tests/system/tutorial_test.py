# SPDX-License-Identifier: Apache-2.0
"""docs/tutorial.md, every command of it, as a new user would run them: a home of one's own, one shell, a board."""
import json
import os
import pathlib
import re
import subprocess
import time

from lab import agent, cache

TOP = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 600


def run(*words, **options):
    """A board that hangs is the lab's (lab/hangs.py)."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False, **options)
    except subprocess.TimeoutExpired:
        raise agent.CommandTimeout(f"{words[0]} did not end in {LIMIT} s") from None
    if "lab/board: the board hangs" in done.stderr:
        raise agent.BoardHung(done.stderr[-500:])
    return done


def test_every_command(tmp_path):
    text = (TOP / "docs/tutorial.md").read_text()
    commands = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)
    shown = "".join(re.findall(r"^```text\n(.*?)^```$", text, re.M | re.S)).splitlines()
    assert len(commands) >= 7 and len(shown) >= 6
    options = json.loads(subprocess.run(["meson", "introspect", "--buildoptions", TOP / "build"], check=True, capture_output=True).stdout)
    before = next(o["value"] for o in options if o["name"] == "prefix")
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "BULKHEAD_CACHE": cache.folder()}
    start = time.monotonic()
    try:
        done = run("bash", "-euo", "pipefail", "-c", "".join(commands), cwd=TOP, env=env)
    finally:
        subprocess.run(["meson", "configure", TOP / "build", f"-Dprefix={before}"], check=True, capture_output=True)
    said = done.stdout.replace("\r", "")
    assert done.returncode == 0, said[-4000:] + done.stderr[-4000:]
    print(f"the tutorial's commands took {time.monotonic() - start:.0f} s")
    # What the page shows is what one gets; how many interrupts there are in two seconds depends on the machine.
    for line in shown:
        assert line in said or line.startswith("interrupts: "), f"'{line}' is not in:\n{said[-6000:]}"
    assert int(re.search(r"^interrupts: (\d+)$", said, re.M).group(1)) >= 5
    assert re.search(r"^ *\d+: +[1-9].*metronome$", said, re.M)
    # The same device and driver without messages: the pin.
    words = 'cd /payload && qvm/bin/qvm --vdev-dir . @vm.qvmconf cmdline "console=hvc0 quiet pci=nomsi" < /dev/null'
    done = run(TOP / "lab/board", "run", "--payload", tmp_path / "metronome/payload", "--", words, env=env)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "identity 31564551, interrupts by a pin" in done.stdout
    assert int(re.search(r"^interrupts: (\d+)", done.stdout, re.M).group(1)) >= 5
