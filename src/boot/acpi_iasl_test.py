#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gives the tables that acpi_test writes to ACPICA's tools.

acpi_iasl_test.py ACPI_TEST: every table must disassemble, compile again without error, warning or remark, and come
out with the same bytes; every name that ACPI defines must evaluate; the event method must notify the power button
exactly when its bit is set. Exits with 77 (skipped) where the tools are not installed.
"""
import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HEADER_LEN = 36  # holds the compiler's name and the checksum, which change
END_TAG = 0x79  # of a resource template; then a checksum, for which iasl writes 0, "not used"
COMPLAINT = re.compile(r"error|warning|remark|exception|AE_(?!OK)|failed|could not", re.IGNORECASE)
SUCCESS = "Compilation successful. 0 Errors, 0 Warnings, 0 Remarks"


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def same_code(ours, again):
    if len(ours) != len(again):
        return False
    differ = [i for i in range(HEADER_LEN, len(ours)) if ours[i] != again[i]]
    return all(again[i] == 0 and again[i - 1] == END_TAG for i in differ)


def check_round_trip(table):
    folder, name = table.parent, table.stem
    code, out = run("iasl", "-d", table.name, cwd=folder)
    if code or COMPLAINT.search(out) or not (folder / f"{name}.dsl").exists():
        return [f"iasl -d: {out}"]
    code, out = run("iasl", "-w3", "-p", f"again_{name}", f"{name}.dsl", cwd=folder)
    if code or SUCCESS not in out:
        return [f"iasl: {out}"]
    if not same_code(table.read_bytes(), (folder / f"again_{name}.aml").read_bytes()):
        return ["compiles to other bytes"]
    return []


def acpiexec(table, fill, commands):
    return run("acpiexec", "-r", "-fv", str(fill), "-b", commands, table.name, cwd=table.parent)


def check_evaluation(dsdt):
    problems = []
    code, out = acpiexec(dsdt, 0, "execute predefined")
    if code or COMPLAINT.search(out) or "Evaluated" not in out:
        problems.append(f"acpiexec: {out}")
    if "GED" not in out:
        return problems
    for fill, expected in ((1, True), (3, True), (0, False), (2, False)):
        code, out = acpiexec(dsdt, fill, r"execute \_SB.GED._EVT 9")
        if code or ("Notify on [PWRB]" in out) != expected or ("Value 0x80" in out) != expected:
            problems.append(f"_EVT with {fill} in the register: {out}")
    return problems


def check_table(table):
    problems = check_round_trip(table)
    if table.stem == "DSDT":
        problems += check_evaluation(table)
    return problems


def main():
    acpi_test = pathlib.Path(sys.argv[1]).resolve()
    missing = [tool for tool in ("iasl", "acpiexec") if not shutil.which(tool)]
    if missing:
        print("not installed:", *missing)
        return 77
    with tempfile.TemporaryDirectory(prefix="acpi-iasl-") as folder:
        subprocess.run([acpi_test, "--dump", folder], check=True, timeout=60)
        # The RSDP has no table header, so the tools do not take it.
        tables = [t for t in sorted(pathlib.Path(folder).glob("*/*.dat")) if t.stem != "RSDP"]
        # acpiexec waits for a second before it exits.
        with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
            results = list(pool.map(check_table, tables))
        for table, problems in zip(tables, results):
            if table.stem == "DSDT":
                print(f"{table.parent.name}: DSDT of {table.stat().st_size} bytes")
            for problem in problems:
                print(f"{table.parent.name}/{table.name}: {problem}")
    failed = sum(bool(problems) for problems in results)
    print(f"{len(tables)} tables, {failed} with problems")
    return 1 if failed or not tables else 0


if __name__ == "__main__":
    sys.exit(main())
