#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What an author of vdevs is promised: the symbols that there are, and what happens to a file that does not fit.
Arguments: the build folder, then those of unittest."""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
INCLUDE = TOP / "include"
FROZEN = pathlib.Path(__file__).resolve().parent / "x86_64"
# Calls of the compiler in shared objects that vdev-fuzz looks into; what linkers and sanitizers add.
NOT_OURS = r"_init|_fini|_end|_edata|__bss_start|__sanitizer_cov_\w+|__(asan|ubsan|odr|tsan|lsan|sanitizer|interceptor)\w*"
VDEV = """
#include <qvm/vdev-core.h>
static int control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg) { (void)vdp; (void)ctrl; (void)arg; return EOK; }
static struct vdev_factory factory = { .control = CONTROL, .factory_flags = VFF_LOC_NO | VFF_INTR_NO };
__attribute__((constructor)) static void enter(void) { (void)control; REGISTER; }
"""
REGISTER = "vdev_register_factory(&factory, {})"
SIZE = "(unsigned)sizeof(struct vdev_factory)"


def declared(*flags, without=()):
    """The functions that the headers declare, as the compiler sees them."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "all.c"
        headers = [h for h in sorted(INCLUDE.rglob("*.h")) if h.name not in without]
        source.write_text("".join(f'#include "{h}"\n' for h in headers))
        subprocess.run(["gcc", *flags, f"-I{INCLUDE}", "-fsyntax-only", "-aux-info", f"{folder}/info", source], check=True)
        text = (pathlib.Path(folder) / "info").read_text()
    found = re.findall(r"^/\* (\S+?):\d+:(..) \*/ (.*)$", text, re.M)
    return {re.search(r"(\w+) \(", rest).group(1) for path, kind, rest in found
            if path.startswith(str(INCLUDE)) and kind == "NC" and not rest.startswith("static")}


def exported(path):
    listed = subprocess.run(["nm", "-D", "--defined-only", path], check=True, capture_output=True, text=True).stdout
    return {name for _, kind, name in (line.split() for line in listed.splitlines() if len(line.split()) == 3)
            if "@" not in name and kind not in "AUw" and not re.fullmatch(NOT_OURS, name)}


class Symbols(unittest.TestCase):
    def compare(self, path, without=()):
        names, older = declared(without=without), declared("-DQVM_VDEV_API=71", without=without)
        there = exported(BUILD / path)
        self.assertGreater(len(names), 50)
        self.assertEqual(names - there, set(), f"{path} does not export what the headers declare")
        for name in older:
            self.assertTrue({name, f"{name}_71"} & there, f"{path} lacks {name} of the older version")
        allowed = names | older | {f"{name}_71" for name in older}
        self.assertEqual(there - allowed, set(), f"{path} exports what no header declares")

    def test_qvm(self):
        self.compare("qvm", without=("test.h",))

    def test_tools_and_library(self):
        for path in ("vdev-test", "vdev-fuzz", "src/vdevtest/libvdevtest.so.1"):
            self.compare(path)


class Layouts(unittest.TestCase):
    def test_every_struct_has_its_size_asserted(self):
        asserted = "".join(path.read_text() for path in (TOP / "src/vdev").rglob("*.c"))
        structs = set()
        for header in INCLUDE.rglob("*.h"):
            text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
            if header.name != "test.h":
                structs.update(re.findall(r"^(?:typedef )?struct (\w+) \{", text, re.M))
        self.assertGreater(len(structs), 15)
        for name in structs:
            self.assertTrue(re.search(rf"^(SIZE|OFFSET)\((struct {name}|{name}_t),", asserted, re.M),
                            f"the layout of struct {name} is not asserted in src/vdev/abi.c")


class Languages(unittest.TestCase):
    def test_a_controller_of_7_x_is_written_in_either(self):
        """With the documented prototypes, whose enumerations C++ tells from integers."""
        source = """
#include <qvm/guest.h>
static int signal(const struct guest_intr *intr, enum guest_intr_state state) { (void)intr; return state == GIS_ON; }
static void notify(const struct guest_intr *intr, enum guest_intr_notifications what) { (void)intr; (void)what; }
static const struct vdev_pic_functions pic = { 0, 0x1f, signal, notify, 0, 0, 0 };
int use(const vdev_t *vdp, const struct guest_intr *intr);
int use(const vdev_t *vdp, const struct guest_intr *intr)
{
	pic.notify(intr, GIN_ACK);
	guest_intr_notify(vdp, 1, GIN_UNMASK);
	return pic.signal(intr, GIS_ON);
}
"""
        for compiler, language, standard in (("cc", "c", "c11"), ("c++", "c++", "c++17")):
            subprocess.run([compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", language, "-DQVM_VDEV_API=71",
                            f"-I{INCLUDE}", "-"], input=source, text=True, check=True)


class Features(unittest.TestCase):
    def test_each_group_has_a_bit_and_is_told_of(self):
        header = (INCLUDE / "qvm/x/feature.h").read_text()
        bits = {name: int(value, 16) for name, value in re.findall(r"#define QVMX_FEATURE_(\w+)\s+(0x\w+)u", header)}
        groups = {path.stem.upper() for path in (INCLUDE / "qvm/x").glob("*.h")} - {"TEST", "FEATURE"}
        self.assertEqual(groups - set(bits), set(), "a group needs a bit in feature.h and in qvmx_features")
        self.assertEqual(len(set(bits.values())), len(bits))
        for number, name in enumerate("CONF QUEUE LOOP REGION ACPI CPU LOAD MODEL PCI PIC FDT".split()):
            self.assertEqual(bits[name], 1 << number, "a bit has changed its meaning")
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "x.c"
            # A vdev that does without what is not there: nobody_has_this is weak.
            source.write_text(VDEV.replace("REGISTER", REGISTER.format("QVM_VDEV_ABI")).replace("CONTROL", "control").replace(
                "return EOK;", """
                if (ctrl == VDEV_CTRL_OPTIONS_END && nobody_has_this)
                    nobody_has_this();
                return qvmx_features() == WANTED ? EOK : qvmx_refuse(vdp, "other features");""").replace(
                "static int control", "#include <qvm/x/conf.h>\n#include <qvm/x/feature.h>\nextern void nobody_has_this(void) __attribute__((weak));\n"
                "static int control", 1))
            subprocess.run(["cc", "-shared", "-fPIC", f"-DWANTED={sum(bits.values())}", f"-I{INCLUDE}", "-o", f"{folder}/vdev-x.so", source],
                           check=True)
            done = subprocess.run([BUILD / "qvm", "--vdev-dir", folder, "ram", "1m", "vdev", "x", "dryrun"], capture_output=True, text=True,
                                  timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)


class WhatDoesNotFit(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.path = self.folder / "vdev-x.so"

    def compile(self, register=REGISTER.format("QVM_VDEV_ABI"), control="control", *flags):
        source = self.folder / "x.c"
        source.write_text(VDEV.replace("REGISTER", register).replace("CONTROL", control))
        subprocess.run(["cc", "-shared", "-fPIC", *flags, f"-I{INCLUDE}", "-o", self.path, source], check=True)

    def ask(self):
        return subprocess.run([BUILD / "qvm", "--vdev-dir", self.folder, "ram", "1m", "vdev", "x", "dryrun"], capture_output=True,
                              text=True, timeout=60, check=False)

    def refused(self, why):
        done = self.ask()
        self.assertEqual(done.returncode, 65, done.stderr)
        self.assertIn("vdev-x.so", done.stderr)
        self.assertIn(why, done.stderr)
        # It was found, so that no other name is meant.
        self.assertNotIn("no vdev called", done.stderr)
        self.assertNotIn("did you mean", done.stderr)

    def test_one_that_fits(self):
        self.compile()
        done = self.ask()
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_version_and_size(self):
        for version, size, why in (("QVM_VDEV_ABI_VERSION + 1", SIZE, "it was built for a newer qvm"),
                                   ("QVM_VDEV_ABI_VERSION", f"{SIZE} + 8", "it was built for a newer qvm"),
                                   ("QVM_VDEV_ABI_VERSION - 1", SIZE, "it was built for an older qvm that is no longer supported"),
                                   ("QVM_VDEV_ABI_VERSION", "8", "it was built for an older qvm that is no longer supported")):
            with self.subTest(f"{version} {size}"):
                self.compile(REGISTER.format(f"(({version}) << 16) | ({size})"))
                self.refused(why)

    def test_one_that_lies_nowhere(self):
        reads = "control, .vread = (vdev_ref_status_t (*)())control"
        self.compile(control=reads)
        self.assertNotIn("lies nowhere", self.ask().stderr)
        self.compile(f"{REGISTER.format('QVM_VDEV_ABI')}; factory.factory_flags = VFF_INTR_NO", reads)
        done = self.ask()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("vdev x answers reads and lies nowhere", done.stderr)

    def test_no_vdev(self):
        self.compile("")
        self.refused("it registers no vdev")
        self.compile(REGISTER.format("QVM_VDEV_ABI"), "0")
        self.refused("its factory has no control function")
        self.compile("extern void nobody_has_this(void); nobody_has_this()")
        self.refused("undefined symbol: nobody_has_this")

    def test_cut_short(self):
        self.compile()
        whole = self.path.read_bytes()
        for size in [*range(0, 1024, 64), *range(1024, len(whole) // 2, 512)]:
            with self.subTest(size):
                self.path.write_bytes(whole[:size])
                self.refused("it is no shared object (no ELF header)" if size < 64 else "it is cut short")

    def test_another_machine_or_kind(self):
        self.compile()
        whole = bytearray(self.path.read_bytes())
        for offset, value, why in ((18, 183, "it was built for another kind of machine"), (4, 1, "it was built for another kind of machine"),
                                   (5, 2, "it was built for another kind of machine"), (16, 1, "it is no shared object (link it with -shared)"),
                                   (54, 1, "its list of segments makes no sense"), (0, 0, "it is no shared object (no ELF header)")):
            with self.subTest(f"byte {offset}"):
                other = bytearray(whole)
                other[offset] = value
                self.path.write_bytes(other)
                self.refused(why)

    def test_no_file(self):
        self.path.mkdir()
        self.refused("it is no file")
        self.path.rmdir()
        self.path.write_text("#!/bin/sh\n")
        self.refused("it is no shared object (no ELF header)")


class Frozen(unittest.TestCase):
    """The bench drives them (`vdev frozen`); qvm takes them too."""

    def test_dryrun(self):
        done = subprocess.run([BUILD / "qvm", "--vdev-dir", FROZEN, *"ram 1m vdev trace loc 0xfa000000 vdev virtio-entropy dryrun".split()],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        for part in ("0000fa000000-0000fa000003  vdev   vdev trace", "1af4:1044"):
            self.assertIn(part, done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
