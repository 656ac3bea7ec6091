#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every patch of tests/mutants and tests/seeded applies to the sources as they are, and says what it breaks and who finds it.
docs/requirements.md: every row that works names tests that there are, and a mutant that one of them catches; a row whose test has
a guest names one that such a test catches."""
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[1]
NO_GUEST = ("tests/system/config_test.py", "tests/system/map_test.py")
HEADS = {"mutants": (r"^# breaks: ", r"^# caught by: (unit|vdev|tsan|system): "), "seeded": (r"^# class: B", r"^# bug: ")}


def problems(folder, path):
    text = path.read_text()
    for head in HEADS[folder]:
        if not re.search(head, text, re.M):
            yield f"no line {head}"
    done = subprocess.run(["git", "apply", "--check", path], cwd=TOP, capture_output=True, text=True, check=False)
    if done.returncode:
        yield done.stderr.strip()


def with_guest(test):
    return test.startswith("tests/system/") and not test.startswith(NO_GUEST)


def catchers():
    """mutant: the tests that catch it, as a row names them."""
    return {path.stem: [f"vdev {name}" if suite == "vdev" else name.partition("[")[0]
                        for suite, name in re.findall(r"^# caught by: (\w+): (.+)$", path.read_text(), re.M)]
            for path in (TOP / "tests/mutants").glob("*.patch")}


def row_problems(state, tests, broken, catch):
    if not re.match("works|part|not yet", state):
        yield f"'{state}' is no state"
    for test in tests:
        path, _, function = test.partition("::")
        if "/" in path and not (TOP / path.split()[0]).exists():
            yield f"there is no {path}"
        elif function and not re.search(rf"^ *def {function}\(", (TOP / path).read_text(), re.M):
            yield f"there is no {function} in {path}"
    yield from (f"there is no mutant {name}" for name in broken if name not in catch)
    caught = {test for name in broken for test in catch.get(name, ())} & set(tests)
    if not state.startswith("not yet") and not caught:
        yield "no test that it names catches a mutant that it names"
    elif any(map(with_guest, tests)) and not any(map(with_guest, caught)):
        yield "no test with a guest that it names catches a mutant that it names"


def rows():
    for line in (TOP / "docs/requirements.md").read_text().splitlines():
        if re.match(r"\| [RB]\d+ \|", line):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            yield cells[0], cells[2], *(re.findall("`([^`-][^`]*)`", cell) for cell in cells[3:])


def main():
    patches = [(folder, path) for folder in HEADS for path in sorted((TOP / "tests" / folder).glob("*.patch"))]
    bad = [f"{path.relative_to(TOP)}: {problem}" for folder, path in patches for problem in problems(folder, path)]
    catch, seen = catchers(), list(rows())
    bad += [f"docs/requirements.md: {name}: {problem}" for name, state, tests, broken in seen
            for problem in row_problems(state, tests, broken, catch)]
    print("\n".join([*bad, f"{len(patches)} patches, {len(seen)} rows"]))
    return 1 if bad or not patches or not seen else 0


sys.exit(main())
