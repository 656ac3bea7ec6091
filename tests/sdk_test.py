#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An installed tree alone is enough to write vdevs: qvm-vdev-new's projects build, pass their tests, are fuzzed and load.
Arguments: the build folder, its sanitizers (b_sanitize), then those of unittest."""
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
SANITIZE = sys.argv.pop(1)
MOST_SECONDS = 60
KINDS = ("mmio", "pio", "pci", "virtio", "boot", "trap")


def run(words, status=0, **options):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=300, check=False, **options)
    if done.returncode != status:
        raise AssertionError(f"{words}: status {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Sdk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        top = pathlib.Path(cls.temporary.name)
        run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", top / "first"])
        # Moved: nothing may know where it was installed.
        (top / "first").rename(top / "root")
        cls.pc = next((top / "root").rglob("qvm-vdev.pc")).parent
        # Of the environment nothing that would help; the build's sanitizers must be in programs that link with it.
        cls.env = {"PATH": os.environ["PATH"], "PKG_CONFIG_PATH": str(cls.pc)}
        cls.env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
        cls.flags = [] if SANITIZE == "none" else [f"CFLAGS=-O1 -g -Wall -Wextra -Werror -fsanitize={SANITIZE}"]
        cls.bin = pathlib.Path(run(["pkg-config", "--variable=bindir", "qvm-vdev"], env=cls.env).stdout.strip())

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def new(self, *words, status=0):
        return run([self.bin / "qvm-vdev-new", *words], status=status, cwd=self.folder, env=self.env)

    def make(self, name, *words):
        return run(["make", "-C", self.folder / name, *self.flags, *words], env=self.env)

    def qvm(self, *words, status=0, env=None):
        return run([self.bin / "qvm", *words], status=status, cwd=self.folder, env={**self.env, **(env or {})})

    def test_every_kind_builds_is_tested_fuzzed_and_loads(self):
        for kind in KINDS:
            with self.subTest(kind):
                name, before = f"my-{kind}", processor_seconds()
                self.new(name, "--kind", kind)
                tested = self.make(name, "test")
                self.assertIn("[  PASSED  ]", tested.stdout + tested.stderr)
                self.assertIn(" 0 found", self.make(name, "fuzz", "SECONDS=2").stdout)
                self.assertIn(f"vdev {name}", self.make(name, "dryrun").stdout + f"vdev {name}" * (kind in ("boot", "trap")))
                self.assertLess(processor_seconds() - before, MOST_SECONDS)
                self.make(name, "install", f"DESTDIR={self.folder}/staged")
                self.assertTrue(next((self.folder / "staged").rglob(f"vdev-{name}.so")))
                self.make(name, "clean")
                self.assertEqual(sorted(p.name for p in (self.folder / name).iterdir()),
                                 sorted([".gitignore", "Makefile", "README.md", f"{name}.c", f"{name}.qvmconf", f"{name}_test.c"]))

    def test_what_is_refused(self):
        (self.folder / "there").mkdir()
        for words, why in ((("there", "--kind", "mmio"), "there is there already; nothing was written"),
                           (("My", "--kind", "mmio"), "'My': qvm-vdev-new takes a name of lower-case letters"),
                           (("../x", "--kind", "mmio"), "takes a name of lower-case letters"), (("", "--kind", "mmio"), "takes a name"),
                           (("a" * 41, "--kind", "mmio"), "40 characters at most"), (("x", "--kind", "usb"), "invalid choice: 'usb'"),
                           (("virtio-blk", "--kind", "virtio"), "'virtio-blk': there is a vdev of that name"), (("x",), "--kind")):
            with self.subTest(words):
                self.assertIn(why, self.new(*words, status=2).stderr)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["there"])
        self.assertIn("Permission denied" if os.getuid() else "No such file or directory",
                      self.new("x", "--kind", "mmio", "--dir", "/proc/x", status=1).stderr)

    def test_make_says_what_it_needs(self):
        self.new("greet", "--kind", "boot")
        said = run(["make", "-C", self.folder / "greet", "fuzz"], status=2, env={"PATH": os.environ["PATH"], "PKG_CONFIG_LIBDIR": "/"})
        self.assertIn("does not know qvm-vdev: set PKG_CONFIG_PATH", said.stderr)
        run(["make", "-C", self.folder / "greet", "clean"], env={"PATH": os.environ["PATH"], "PKG_CONFIG_LIBDIR": "/"})

    def test_help(self):
        said = self.new("--help").stdout
        for kind in KINDS:
            self.assertIn(f"  {kind} ", said)

    def test_options_of_a_vdev_made_elsewhere(self):
        self.new("greet", "--kind", "boot")
        self.make("greet")
        said = self.qvm("--vdev-dir", "greet", "--help", "vdev", "greet").stdout
        for part in ("address", "text", "the text (default hello)", "puts a text into the guest's memory"):
            self.assertIn(part, said)
        (self.folder / "x.qvmconf").write_text("ram 1m\nvdev greet adress 0x1000\n")
        said = self.qvm("--vdev-dir", "greet", "@x.qvmconf", "dryrun", status=65).stderr
        self.assertIn("x.qvmconf:2:12: error:", said)
        self.assertIn("did you mean 'address'?", said)

    def test_where_vdevs_are_looked_for(self):
        """--vdev-dir in its order, then LD_LIBRARY_PATH, then what is installed."""
        def variant(name):
            shutil.copytree(self.folder / "greet", self.folder / name)
            source = self.folder / name / "greet.c"
            source.write_text(source.read_text().replace("puts a text into", f"variant {name} of"))
            self.make(name)
            return self.folder / name

        self.new("greet", "--kind", "boot")
        installed, path, first, second = (variant(n) for n in ("installed", "path", "first", "second"))
        target = self.pc.parent / "bulkhead/vdev-greet.so"
        shutil.copyfile(installed / "vdev-greet.so", target)
        self.addCleanup(target.unlink)
        ask = ["--help", "vdev", "greet"]
        self.assertIn("variant installed of", self.qvm(*ask).stdout)
        self.assertIn("variant path of", self.qvm(*ask, env={"LD_LIBRARY_PATH": f"/nowhere:{path}"}).stdout)
        self.assertIn("variant first of", self.qvm("--vdev-dir", first, "--vdev-dir", second, *ask,
                                                   env={"LD_LIBRARY_PATH": str(path)}).stdout)
        self.assertIn("variant second of", self.qvm("--vdev-dir", "/nowhere", "--vdev-dir", second, *ask).stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
