#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vdev-fuzz from outside: it finds mistakes that a test vdev has, and none in ours. Arguments: the build folder, then those
of unittest."""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests"))
import our_vdevs  # noqa: E402  # pylint: disable=wrong-import-position

RUNS = 40


def vdev(name):
    return str(BUILD / "vdevs/fuzz" / f"vdev-{name}.so")


class Fuzz(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def fuzz(self, words, *options, status=0):
        done = subprocess.run([BUILD / "vdev-fuzz", "--quiet", "--crashes", self.folder, *options, *words], capture_output=True,
                              text=True, timeout=170, check=False)
        self.assertEqual(done.returncode, status, done.stdout[-2000:] + done.stderr[-2000:] +
                         "".join(p.read_text() for p in self.folder.glob("crash-*")))
        return done.stdout

    def found(self, mistake, *options, more=()):
        """The script of what was found, and how vdev-test ends with it."""
        words = [vdev("buggy"), "mistake", str(mistake), *more]
        said = self.fuzz(words, "--runs", "200000", "--seconds", "120", *options, status=1)
        script = self.folder / "crash-1.qtest"
        again = subprocess.run([BUILD / "vdev-test", "--script", script, "--limit", "2", *words], capture_output=True, text=True,
                               timeout=60, check=False)
        lines = [line for line in script.read_text().splitlines() if not line.startswith("#")]
        return said, lines, again

    def test_an_abort(self):
        said, lines, again = self.found(1, more=("cmdline", "it's\na b"))
        self.assertLessEqual(len(lines), 3, lines)
        self.assertIn(" 'it'\\''s'$'\\n''a b'\n", (self.folder / "crash-1.qtest").read_text())
        self.assertNotEqual(again.returncode, 0)
        self.assertRegex(again.stderr, r"crash-1.qtest:\d+: (SIGABRT|a sanitizer's report)")
        self.assertIn("vdev-buggy.so", said)

    def test_what_was_found_before_stays(self):
        for i in (1, 2):
            (self.folder / f"crash-{i}.qtest").write_text("mine\n")
        words = [vdev("buggy"), "mistake", "3"]
        self.fuzz(words, "--runs", "200000", "--seconds", "120", status=1)
        self.assertEqual([(self.folder / f"crash-{i}.qtest").read_text() for i in (1, 2)], ["mine\n"] * 2)
        self.assertIn("mistake", (self.folder / "crash-3.qtest").read_text())
        for option in ("--runs", "--seconds", "--limit"):
            self.fuzz(words, option, "0", status=2)

    def test_a_hang(self):
        _, lines, again = self.found(2, "--limit", "2")
        self.assertEqual(again.returncode, 124, lines)

    def test_an_error_of_the_vdev(self):
        said, lines, again = self.found(3)
        self.assertIn("a vdev failed", said)
        self.assertLessEqual(len(lines), 3, lines)
        self.assertIn("FAIL a vdev failed", again.stdout)

    def test_corpus(self):
        corpus = self.folder / "corpus"
        corpus.mkdir()
        self.fuzz([vdev("buggy")], "--runs", "200", "--corpus", str(corpus))
        kept = list(corpus.glob("*.qtest"))
        self.assertTrue(kept)
        said = self.fuzz([vdev("buggy")], "--runs", "1", "--corpus", str(corpus))
        self.assertGreaterEqual(int(re.search(r"(\d+) inputs kept", said).group(1)), len(kept))

    def test_a_corpus_alone_and_what_of_it_is_needed(self):
        corpus, least = self.folder / "corpus", self.folder / "least"
        corpus.mkdir()
        least.mkdir()
        self.fuzz([vdev("pckeyboard")], "--runs", "300", "--corpus", str(corpus))
        num = len(list(corpus.glob("*.qtest")))
        said = self.fuzz([vdev("pckeyboard")], "--corpus", str(corpus), "--corpus-only", "--minimise", str(least))
        self.assertIn(f"{num} runs", said)
        kept = len(list(least.glob("*.qtest")))
        self.assertTrue(0 < kept <= num, (kept, num))
        once_more = self.folder / "once-more"
        once_more.mkdir()
        again = self.fuzz([vdev("pckeyboard")], "--corpus", str(least), "--corpus-only", "--minimise", str(once_more))
        self.assertIn(f"{kept} runs", again)
        self.assertEqual(kept, len(list(once_more.glob("*.qtest"))))
        self.fuzz([vdev("pckeyboard")], "--corpus-only", status=2)

    def test_an_input_that_takes_too_much_memory(self):
        said, lines, _ = self.found(5)
        self.assertIn("memory", said)
        self.assertLessEqual(len(lines), 3, lines)

    def test_options(self):
        self.fuzz([], status=2)
        self.fuzz([vdev("buggy")], "--runs", "x", status=2)
        self.fuzz([vdev("buggy"), "mistake", "x"], "--runs", "1", status=65)

    def test_ours(self):
        self.assertEqual(set(our_vdevs.WORDS), {path.parent.name for path in our_vdevs.TOP.glob("vdevs/*/*.scd")})
        every = [(name, words[0]) for name, words in our_vdevs.WORDS.items()]
        for name, words in (*every, ("virtio-entropy", "loc 0x1c0d0000 intr ioapic:16")):
            with self.subTest(name):
                self.assertIn(f"{RUNS} runs", self.fuzz([*our_vdevs.before(name), vdev(name), *our_vdevs.words(words, self.folder)],
                                                        "--runs", str(RUNS), *our_vdevs.standins(self.folder)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
