#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks RULES.md against the files of this folder and the tables of src/conf. Prints what is wrong, ends with status 1."""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
CONF = HERE.parents[1] / "src/conf"
STATES = ("works", "sentence", "no effect", "not built")


def names(cell):
    return [] if cell == "-" else [name.strip() for name in cell.split(",")]


def check_file(name, wrong):
    if not (HERE / f"{name}.qvmconf").exists():
        return [f"there is no {name}.qvmconf"]
    said = (HERE / f"{name}.expected").read_text()
    is_wrong = re.search(r": error: ", said) is not None
    return [f"{name}: {'has no error' if wrong else 'has an error'}"] if is_wrong != wrong else []


def check_row(rule, state, right, wrong):
    bad = [problem for cell, is_wrong in ((right, False), (wrong, True)) for name in names(cell) for problem in check_file(name, is_wrong)]
    if state not in STATES:
        bad.append(f"unknown state '{state}'")
    if state == "works" and not (names(right) and names(wrong)):
        bad.append("needs a right and a wrong file")
    if state == "no effect" and not any(" has no effect" in (HERE / f"{n}.expected").read_text() for n in names(right)):
        bad.append("no warning says that it has no effect")
    if state == "not built" and not any("not built yet" in (HERE / f"{n}.expected").read_text() for n in names(wrong)) and names(wrong):
        bad.append("no error says that it is not built")
    if not names(right) and not names(wrong):
        bad.append("has no file")
    return [f"{rule}: {problem}" for problem in bad]


def known():
    """Every keyword, common option and variable that the parser has."""
    words = re.findall(r'^\t\{ "([a-z]+)", \w+ \},$', (CONF / "conf_words.c").read_text(), re.M)
    options = re.findall(r'\[CONF_COMMON_\w+\] = "(\w+)"', (CONF / "conf_vdev.c").read_text())
    variables = re.findall(r'^\t\{ \{ "([a-z-]+)", QVMX', (CONF / "conf_set.c").read_text(), re.M)
    assert len(words) > 20 and len(options) == 7 and len(variables) > 10, "the tables of src/conf look different now"
    return ([f"word `{w}`" for w in words] + [f"option `{o}`" for o in options] + [f"variable `{v}`" for v in variables])


def main():
    rows = [tuple(cell.strip() for cell in line.strip("|\n").split("|"))
            for line in (HERE / "RULES.md").read_text().splitlines() if line.startswith("| ") and not line.startswith("| rule ")]
    bad = [problem for row in rows for problem in check_row(*row)]
    rules = {row[0] for row in rows}
    bad += [f"{name}: not in RULES.md" for name in known() if name not in rules]
    print("\n".join(bad) or f"{len(rows)} rules")
    return 1 if bad else 0


sys.exit(main())
