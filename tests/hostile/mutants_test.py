#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each row of the hostile guest (docs/design/hostile-guest.md) has at least five mutants, and as many as its table says."""
import collections
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
LEAST = 5

mutants = collections.Counter(row for path in (TOP / "tests/mutants").glob("*.patch")
                              for row in re.findall(r"^# row: (.+)$", path.read_text(), re.M))
table = dict(re.findall(r"^\| (B\d+) \|.*\| (\d+) \|$", (TOP / "docs/design/hostile-guest.md").read_text(), re.M))
wrong = [f"{row}: the table has {said} mutants, tests/mutants {mutants[row]}" for row, said in table.items() if int(said) != mutants[row]]
wrong += [f"{row}: {mutants[row]} mutants, at least {LEAST} are asked for" for row in table if mutants[row] < LEAST]
wrong += [f"{row} of tests/mutants is no row of the table" for row in mutants if row not in table]
print("\n".join(wrong) or f"{sum(mutants.values())} mutants of {len(table)} rows")
sys.exit(1 if wrong or not table else 0)
