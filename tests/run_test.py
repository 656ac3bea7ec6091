# SPDX-License-Identifier: Apache-2.0
"""tests/run itself, over stand-ins of meson and ninja that say what they were asked for: /usr/bin/python3 -m pytest tests/run_test.py"""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent

# `meson setup FOLDER OPTION...`, `meson test -C FOLDER ...`: two tests, of which as many fail as the folder's file `failing` says.
MESON = """#!/bin/bash
cd "$(dirname "$0")/.."
if [ "$1" = setup ]; then
	mkdir -p "$2/meson-logs"; touch "$2/build.ninja"; printf '%s\\n' "${@:3}" > "$2/options"; exit
fi
echo "$ASAN_OPTIONS $UBSAN_OPTIONS" > "$3/environment"
{ echo '<testsuites><testsuite>'
for i in 1 2; do
	echo "<testcase classname='x' name='t$i'>$([ $i -gt "$(cat failing)" ] || echo "<failure message='no'/>")</testcase>"
done
echo '</testsuite></testsuites>'; } > "$3/meson-logs/testlog.junit.xml"
[ "$(cat failing)" = 0 ]
"""


@pytest.fixture(name="tree")
def tree_of_stand_ins(tmp_path):
    for name, text in (("bin/meson", MESON), ("bin/ninja", "#!/bin/sh\nexit 0\n")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "tests").mkdir()
    shutil.copy(HERE / "run", tmp_path / "tests/run")
    return tmp_path


def run(tree, failing):
    (tree / "failing").write_text(str(failing))
    return subprocess.run([tree / "tests/run", "unit", "vdev"], cwd=tree, env={**os.environ, "PATH": f"{tree}/bin:{os.environ['PATH']}"},
                          capture_output=True, text=True, check=False)


@pytest.mark.parametrize("failing,says", [(0, "2 passed, 0 failed"), (1, "1 passed, 1 failed"), (2, "0 passed, 2 failed")])
def test_the_last_line_counts_and_the_status_follows(tree, failing, says):
    done = run(tree, failing)
    assert done.stdout.splitlines()[-1] == says, done.stdout + done.stderr
    assert done.returncode == (1 if failing else 0)


def test_functional_tests_run_under_both_sanitizers(tree):
    """Their build, what the sanitizers are told, and that guests run on that build."""
    assert run(tree, 0).returncode == 0
    assert "-Db_sanitize=address,undefined" in (tree / "build-asan/options").read_text().splitlines()
    said = (tree / "build-asan/environment").read_text()
    assert "detect_leaks=1" in said and "halt_on_error=1" in said
    assert re.search(r'def command\(self, words="", build="build-asan"', (HERE / "system/guests.py").read_text())
