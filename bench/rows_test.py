#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The comparison's own arithmetic, on numbers that were made up."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.dont_write_bytecode = True
from bench import machines, pieces, report, rows, svg  # noqa: E402


def boot(exits, **more):
    return {"exits": exits, "user": 500, "npf": 100, "faults": 50, "own": exits, "first": 10.0, "init": 1.0, "end": 5.0, **more}


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
        rounds = [{"bare": {"read": 50.0}, "qvm": {"read": 55.0}, "microvm": {"read": 70.0}, "q35": {"read": 60.0}}]
        found = self.result({"read": rounds}, "above")
        self.assertEqual(found.ratios[0].values, [0.25])
        self.assertTrue(found.met)

    def test_marks(self):
        said = "init us=5 exits=7 first=-1 \ndisk us=9 count=3 bytes=12 \n"
        self.assertEqual(pieces._marks(said), {"init": {"us": 5, "exits": 7, "first": -1}, "disk": {"us": 9, "count": 3, "bytes": 12}})

    def test_every_row_is_measured(self):
        self.assertEqual({row.group for row in rows.ROWS} | {"growth"}, set(pieces.GROUPS))
        for row in rows.ROWS:
            _, names, board = pieces.GROUPS[row.group]
            self.assertLessEqual(set(row.peers) - {"best"}, set(names), row)
            self.assertIn(board, machines.BOARDS)
        for (_, names, board) in pieces.GROUPS.values():
            peers = machines.BOARDS[board].arch.peers
            self.assertTrue(all(name.partition("+")[0] in (*peers, "qvm", "bare", "regions", "vdevs", "vms") for name in names), names)

    def guest(self, guest, start, more):
        """The values of a guest whose counters rose by `start` while it did few requests and by `more` while it did many."""
        marks = {"memory": {"private": 900.0}}
        for name in guest.counted:
            for i, count in enumerate((5, 5 + start, 5 + start + more)):
                marks[f"{name}{i}"] = {key: float(count) for key in ("exits", "user", "npf", "hlt", "msr", "intr")}
        marks |= {name: {"count": 300.0, "bytes": 4e6, "us": 2e6, "ms": 0.25} for name in guest.measured}
        return guest.values(marks)

    def test_counts_are_for_one_request(self):
        # What the stops themselves cost is in both steps.
        found = self.guest(pieces.DEVICES, start=120, more=2120)
        self.assertEqual((found["disk_user"], found["net_exits"]), (2.0, 2.0))
        found = self.guest(pieces.PASSED, start=120, more=120)
        self.assertEqual((found["disk_user"], found["net_user"], found["sound_user"]), (0, 0, 0))

    def test_rates(self):
        found = self.guest(pieces.PASSED, 0, 0)
        self.assertEqual((found["disk_read_1"], found["net_send"], found["net_ping"]), (150.0, 2.0, 250.0))

    def test_every_row_of_guests_has_its_number(self):
        guests = {"devices": pieces.DEVICES, "arm-devices": pieces.DEVICES, "arm-mmio": pieces.DEVICES, "pass": pieces.PASSED,
                  "arm-pass": pieces.PASSED}
        for row in rows.ROWS:
            if row.group in guests:
                self.assertIn(row.key, {**self.guest(guests[row.group], 0, 0), "console_lost": 0}, row)

    def test_aarch64_has_no_target_made_of_other_peers(self):
        for row in rows.AARCH64:
            self.assertEqual(row.peers, ("virt",), row)
            self.assertTrue(not row.limit or row.limit[0] == "value", row)
        (limit,) = {row.limit for row in rows.AARCH64 if row.group == "arm-mmio" and row.key == "disk_user"}
        self.assertEqual(limit, ("value", 2.01))

    def test_a_board_writes_between_its_own_marks(self):
        text = report.SPECIFICATION.read_text()
        for board in machines.BOARDS:
            changed = report.put(text, board, "the figures\n")
            self.assertIn("the figures", changed)
            for other in machines.BOARDS:
                if other != board:
                    self.assertEqual(report.put(changed, other, ""), report.put(report.put(text, other, ""), board, "the figures\n"))
        with self.assertRaisesRegex(ValueError, "writes from here: riscv64"):
            report.put(text, "riscv64", "")

    def test_plots_are_xml(self):
        import xml.etree.ElementTree as xml
        xml.fromstring(svg.bars("a < b", [("group, s", {"qvm": (2.0, 1.0, 3.0), "q35": (0.0, 0.0, 0.0)})]))
        xml.fromstring(svg.lines("grows", "things", {"cost": [(1, 0.5), (4, 12.0)], "other": [(1, 1.0)]}))


unittest.main()
