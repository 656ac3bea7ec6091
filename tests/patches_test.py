#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every patch of tests/mutants and tests/seeded applies to the sources as they are, and says what it breaks and who finds it."""
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[1]
HEADS = {"mutants": (r"^# breaks: ", r"^# caught by: (unit|vdev|tsan|system): "), "seeded": (r"^# class: B", r"^# bug: ")}


def problems(folder, path):
    text = path.read_text()
    for head in HEADS[folder]:
        if not re.search(head, text, re.M):
            yield f"no line {head}"
    done = subprocess.run(["git", "apply", "--check", path], cwd=TOP, capture_output=True, text=True, check=False)
    if done.returncode:
        yield done.stderr.strip()


def main():
    patches = [(folder, path) for folder in HEADS for path in sorted((TOP / "tests" / folder).glob("*.patch"))]
    bad = [f"{path.relative_to(TOP)}: {problem}" for folder, path in patches for problem in problems(folder, path)]
    print("\n".join([*bad, f"{len(patches)} patches"]))
    return 1 if bad or not patches else 0


sys.exit(main())
