#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The comparison's own arithmetic, on numbers that were made up."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.dont_write_bytecode = True
from bench import pieces, rows, svg  # noqa: E402


def boot(exits, **more):
    return {"exits": exits, "user": 500, "npf": 100, "faults": 50, "own": exits, "hlt": 0, "msr": 0, "first": 10.0, "init": 1.0, "end": 5.0, **more}


class Rows(unittest.TestCase):
    def result(self, rounds, key):
        return next(r for r in rows.evaluate(rounds) if r.row.key == key)

    def test_ratios_are_of_pairs(self):
        # In each pair qvm has half of the peer's; the medians of all would say something else.
        rounds = [{"qvm": boot(n), "microvm": boot(2 * n), "q35": boot(9)} for n in (10, 1000, 100)]
        found = self.result({"boot": rounds}, "exits")
        self.assertEqual(found.ratios[0].values, [0.5, 0.5, 0.5])
        self.assertTrue(found.met)

    def test_a_range_with_1_is_not_distinguishable(self):
        rounds = [{"qvm": boot(n), "microvm": boot(100), "q35": boot(9)} for n in (90, 95, 101)]
        self.assertIn("0.95 (0.90-1.01), not distinguishable", str(self.result({"boot": rounds}, "exits").ratios[0]))

    def test_targets_by_value_and_missed(self):
        rounds = [{"qvm": boot(10, user=1001), "microvm": boot(5), "q35": boot(9)}]
        self.assertFalse(self.result({"boot": rounds}, "user").met)
        self.assertFalse(self.result({"boot": rounds}, "exits").met)
        self.assertIsNone(self.result({"boot": rounds}, "first").met)

    def test_a_range_over_the_limit_is_said(self):
        rounds = [{"qvm": boot(n), "microvm": boot(100), "q35": boot(9)} for n in (50, 60, 140)]
        self.assertEqual(self.result({"boot": rounds}, "exits").verdict, "met by the median alone")
        self.assertEqual(self.result({"boot": rounds[:2]}, "exits").verdict, "met")
        self.assertEqual(self.result({"boot": rounds[2:]}, "exits").verdict, "missed")

    def test_the_better_peer_of_each_round(self):
        names = {row.key: 1.0 for row in rows.ROWS if row.group == "devices"}
        rounds = [{"qvm": {**names, "disk_read_1": 10.0}, "q35": {**names, "disk_read_1": a}, "microvm": {**names, "disk_read_1": b}}
                  for a, b in ((20.0, 5.0), (5.0, 10.0))]
        found = self.result({"devices": rounds}, "disk_read_1")
        self.assertEqual(found.ratios[0].values, [0.5, 1.0])
        self.assertFalse(found.met)

    def test_above_a_bare_loop(self):
        rounds = [{"bare": {"pio": 50.0}, "qvm": {"pio": 55.0}, "microvm": {"pio": 70.0}, "q35": {"pio": 60.0}}]
        found = self.result({"pio": rounds}, "above")
        self.assertEqual(found.ratios[0].values, [0.25])
        self.assertTrue(found.met)

    def test_marks(self):
        said = "init us=5 exits=7 first=-1 \ndisk us=9 count=3 bytes=12 \n"
        self.assertEqual(pieces._marks(said), {"init": {"us": 5, "exits": 7, "first": -1}, "disk": {"us": 9, "count": 3, "bytes": 12}})

    def test_every_row_is_measured(self):
        self.assertEqual({row.group for row in rows.ROWS} | {"growth"}, set(pieces.GROUPS))

    def test_plots_are_xml(self):
        import xml.etree.ElementTree as xml
        xml.fromstring(svg.bars("a < b", [("group, s", {"qvm": (2.0, 1.0, 3.0), "q35": (0.0, 0.0, 0.0)})]))
        xml.fromstring(svg.lines("grows", "things", {"cost": [(1, 0.5), (4, 12.0)], "other": [(1, 1.0)]}))


unittest.main()
