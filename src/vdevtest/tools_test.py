#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vdev-test from outside, with our vdevs. Arguments: the build folder, then those of unittest."""
import base64
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
PICS = "vdev ioapic name ioapic vdev 8259 loc io:0x20 vdev 8259 loc io:0xa0".split()
ALL = "0xffffffffffffffff"


def vdev(name):
    return str(BUILD / "vdevs" / f"vdev-{name}.so")


class Bench(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_test(self, words, lines="", status=0, options=()):
        """Standard output's lines; the errors are in self.errors."""
        done = subprocess.run([BUILD / "vdev-test", *options, *words], input=lines, capture_output=True, text=True, timeout=60,
                              check=False)
        self.errors = done.stderr
        self.assertEqual(done.returncode, status, done.stdout[-2000:] + done.stderr[-2000:])
        return done.stdout.splitlines()

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def script(self, words, text, status=0, options=()):
        return self.run_test(words, status=status, options=["--script", self.file("script", text), *options])

    def disk(self):
        path = self.folder / "disk"
        path.write_bytes(b"hello".ljust(1 << 20, b"\0"))
        return [vdev("virtio-blk"), "hostdev", str(path)]


class Lines(Bench):
    """The requests of QEMU's qtest."""

    def test_ports_and_memory(self):
        got = self.run_test([vdev("pckeyboard")], "inb 0x64\noutb 0x64 0xaa\ninb 0x60\ninw 0x1234\nwritel 0x1000 0x12345678\n"
                            "readb 0x1001\nreadw 0x1002\nreadl 4096\nreadq 0x1000\nreadl 0xd0000000\n")
        self.assertEqual(got[0][:5], "OK 0x")
        self.assertEqual(got[1:4], ["OK", "OK 0x0055", "OK 0xffff"])
        self.assertEqual(got[4:], ["OK", "OK 0x0000000000000056", "OK 0x0000000000001234", "OK 0x0000000012345678",
                                   "OK 0x0000000012345678", "OK 0x00000000ffffffff"])

    def test_blocks(self):
        data = bytes(range(256))
        got = self.run_test([vdev("pckeyboard")], "\n".join([
            f"write 0x2000 256 0x{data.hex()}", "read 0x2000 256", "b64read 0x2000 255", "write 0x2000 4 0xffff", "read 0x2000 5",
            f"b64write 0x2000 2 {base64.b64encode(b'abc').decode()}", "read 0x2000 3", "memset 0x2000 0 1", "memset 0x2001 2 0x7a",
            "read 0x2000 4", "endianness"]))
        self.assertEqual(got, ["OK", f"OK 0x{data.hex()}", f"OK {base64.b64encode(data[:255]).decode()}", "OK", "OK 0xffff000004",
                               "OK", "OK 0x616200", "OK", "OK", "OK 0x617a7a00", "OK little"])

    def test_what_is_wrong_is_answered(self):
        got = self.run_test([vdev("pckeyboard")], "foo 1\nreadl\nreadl 1 2\nreadl x\nreadl -1\noutb 0x10000 1\nread 0 0\n\n"
                            "write 0 1 zz\nwrite 0 1 0xz0\nb64write 0 1 %%\nread 0xffffffffffffffff 2\nreadb 0x99999999999999999\nreadb 0\n")
        self.assertEqual(got[0], "FAIL Unknown command 'foo'")
        self.assertEqual([line.split()[0] for line in got[1:]], ["ERR"] * 12 + ["OK"])

    def test_clock(self):
        got = self.run_test([*PICS, vdev("mc146818"), "intr", "ioapic:8"],
                            "clock_step\nclock_step 1000\nclock_set 500\nclock_set 2000000000\noutb 0x70 0\ninb 0x71\n"
                            "irq_intercept_in ioapic\nirq_intercept_out /machine/mc146818\n"
                            "outb 0x70 12\ninb 0x71\noutb 0x70 11\noutb 0x71 0x12\nclock_step\noutb 0x70 12\ninb 0x71\n")
        self.assertEqual(got, ["FAIL no timer is running", "OK 1000", "FAIL 1000", "OK 2000000000", "OK", "OK 0x0002", "OK", "OK",
                               "OK", "OK 0x0050", "OK", "OK", "IRQ raise 8", "IRQ raise 0", "OK 3000000000", "OK",
                               "IRQ lower 8", "IRQ lower 0", "OK 0x00d0"])

    def test_instructions(self):
        got = self.run_test([vdev("cpu-model"), "microcode", "0x77", "brand", "AB"],
                            "x-msr-read 0x8b\nx-msr-write 0x8b 1\nx-msr-read 0x8b\nx-msr-read 0x1234\nx-cpuid 0x80000002\nx-cpuid 1\n")
        self.assertEqual(got, ["OK 0x0000007700000077", "OK", "OK 0x0000007700000077", "OK fault",
                               "OK 0x00004241 0x00000000 0x00000000 0x00000000", "OK none"])

    def test_interrupt_inputs(self):
        got = self.run_test([*PICS, vdev("pckeyboard")],
                            "set_irq_in ioapic x 3 1\nset_irq_in nothing x 3 1\nirq_intercept_in nothing\nirq_intercept_out 8259\n")
        self.assertEqual(got[0], "OK")
        self.assertEqual([line.split()[0] for line in got[1:]], ["FAIL"] * 3)
        self.assertIn("'8259' has no interrupt line; the pin of a PCI function is an input of a controller", got[3])

    def test_sockets(self):
        path = str(self.folder / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            with subprocess.Popen([BUILD / "vdev-test", "--connect", path, vdev("pckeyboard")]) as process:
                peer = listener.accept()[0]
                peer.sendall(b"endianness\n")
                self.assertEqual(peer.recv(100), b"OK little\n")
                peer.close()
                self.assertEqual(process.wait(20), 0)


class Virtio(Bench):
    def test_requests_messages_and_dma(self):
        for features, ring in ((ALL, "packed"), ("0x100000000", "split")):
            with self.subTest(ring):
                got = self.run_test([vdev("virtio-entropy")], f"x-msi-intercept\nx-virtio-start 1 {features} 16\nx-dma-log on\n"
                                    "x-queue-add 1 0 in:16 in:4\nx-queue-kick 1 0\nx-dma-log off\nx-queue-used 1 0\nx-queue-used 1 0\n"
                                    "x-virtio-status 1\nx-virtio-end 1\nx-virtio-status 1\n")
                self.assertRegex(got[1], "OK 0x[0-9a-f]{16} 1$")
                self.assertEqual(bool(int(got[1].split()[1], 16) >> 34 & 1), ring == "packed")
                dma = [line for line in got if line.startswith("DMA")]
                self.assertIn(16, [int(line.split()[3]) for line in dma])
                self.assertIn("MSI 0x00000000fee00000 0x00000101", got)
                self.assertRegex(got[-5], "^OK 0 20 0x[0-9a-f]{40}$")
                self.assertEqual(got[-4:-1], ["OK none", "OK 0x0f", "OK"])
                self.assertTrue(got[-1].startswith("FAIL"))

    def test_a_disk(self):
        got = self.run_test(self.disk(), f"x-virtio-start 1 {ALL} 16\nx-virtio-config-read 1 0 8\n"
                            f"x-queue-add 1 0 out:0x{'00' * 16} in:512 in:1\nx-queue-kick 1 0\nx-queue-used 1 0\n"
                            "x-queue-reset 1 0\nx-queue-kick 1 0\nx-queue-enable 1 0\n"
                            f"x-queue-add 1 0 out:0x{'00' * 16} in:512 in:1\nx-queue-kick 1 0\nx-queue-used 1 0\n")
        self.assertEqual(got[1], "OK 0x0000000000000800")
        answer = f"OK 0 513 0x{b'hello'.hex()}" + "00" * 508
        self.assertEqual(got[4], answer)
        self.assertTrue(got[6].startswith("FAIL"))
        self.assertEqual(got[-1], answer)

    def test_a_device_in_memory(self):
        """Device 32 is the first one that has an address; its interrupt status is set by the request and cleared by hand."""
        words = ["vdev", "ioapic", "name", "pic", vdev("virtio-entropy"), "loc", "0x1c0d0000", "intr", "pic:16"]
        got = self.run_test(words, f"x-virtio-start 32 {ALL} 16\nx-queue-add 32 0 in:16\nx-queue-kick 32 0\nx-queue-used 32 0\n"
                            "readl 0x1c0d0060\nwritel 0x1c0d0064 1\nreadl 0x1c0d0060\nx-virtio-end 32\nx-virtio-start 33 0 16\n")
        self.assertRegex(got[0], "OK 0x[0-9a-f]{16} 1$")
        self.assertRegex(got[3], "^OK 0 16 0x[0-9a-f]{32}$")
        self.assertEqual([int(got[4].split()[1], 16), got[5], int(got[6].split()[1], 16), got[7]], [1, "OK", 0, "OK"])
        self.assertTrue(got[8].startswith("FAIL"))

    def test_a_tap_gives_frames_back(self):
        frame = "00" * 10 + "0000" + "ff" * 6 + "525400123456" + "0800" + "aa" * 40
        got = self.run_test([vdev("virtio-net"), "tapdev", "tap0"], f"x-virtio-start 1 {ALL} 16\nx-queue-add 1 0 in:200\n"
                            f"x-queue-kick 1 0\nx-queue-add 1 1 out:0x{frame}\nx-queue-kick 1 1\nx-queue-used 1 0\n")
        self.assertRegex(got[-1], "OK 0 66 0x.*aaaa$")

    def test_no_queue_and_no_device(self):
        got = self.run_test([vdev("virtio-entropy")], f"x-virtio-start 2 {ALL} 8\nx-queue-kick 1 0\nx-virtio-start 1 {ALL} 8\n"
                            "x-queue-kick 1 1\nx-queue-add 1 0 in:x\nx-queue-add 1 0 out:0x123\nx-queue-add 1 0 foo\n"
                            "x-queue-add 1 0 in:99999999\nx-virtio-start 1 0 0\n" + "x-queue-add 1 0 in:1\n" * 9)
        self.assertEqual([line.split()[0] for line in got], ["FAIL", "FAIL", "OK", "FAIL", "ERR", "ERR", "ERR", "FAIL", "ERR"] +
                         ["OK"] * 8 + ["FAIL"])


class Hostile(Bench):
    """Failing calls of the host, memory that changes, snapshots."""

    def test_the_nth_call_fails(self):
        ask = "x-queue-add 1 0 in:8\nx-queue-kick 1 0\nx-queue-used 1 0\n"
        got = self.run_test([vdev("virtio-entropy")], f"x-virtio-start 1 {ALL} 8\nx-fail getrandom 2 EIO\n{ask * 3}x-calls getrandom\n")
        used = got[4::3]
        self.assertEqual([line.split()[2] for line in used], ["8", "0", "8"])
        self.assertEqual(got[-1], "OK 3")
        self.assertIn("Input/output error", self.errors)

    def test_a_call_of_the_start_fails(self):
        self.run_test(self.disk(), status=65, options=["--fail", "open:1:EACCES"])
        self.assertIn("Permission denied", self.errors)
        self.run_test(self.disk(), status=2, options=["--fail", "nothing:1:EACCES"])

    def test_names(self):
        got = self.run_test([vdev("virtio-entropy")], "x-fail getrandom 1 EFOO\nx-fail foo 1 EIO\nx-fail getrandom x EIO\nx-calls\n")
        self.assertEqual([line.split()[0] for line in got[:3]], ["ERR"] * 3)
        self.assertIn(" read=0", got[3])

    READ = f"x-queue-add 1 0 out:0x{'00' * 16} in:512 in:1\nx-queue-kick 1 0\nx-queue-used 1 0\n"

    def test_results_of_io_uring(self):
        """An error reaches the guest; of a short transfer the rest follows."""
        got = self.run_test(self.disk(), f"x-virtio-start 1 {ALL} 16\nx-fail io_uring_result 1 EIO\n{self.READ}"
                            f"x-fail io_uring_result 1 SHORT\n{self.READ}x-calls io_uring_result\nx-fail fsync 1 SHORT\n")
        self.assertEqual(got[4], "OK 0 0")
        self.assertTrue(got[8].startswith("OK 0 513 0x68656c6c6f00") and got[8].endswith("00"), got[8])
        self.assertEqual([got[9], got[10].split()[0]], ["OK 3", "ERR"])

    def test_stand_ins(self):
        """A file in the place of another, a block device, a character device that is fed and goes away."""
        folder = self.disk()[-1]
        got = self.run_test([vdev("virtio-blk"), "hostdev", "/nowhere/disk"], f"x-virtio-start 1 {ALL} 16\n{self.READ}",
                            options=["--stand-in", f"block:/nowhere/disk={folder}"])
        self.assertTrue(got[3].startswith("OK 0 513 0x68656c6c6f00"), got[3])
        event = "00" * 16 + "0000" + "0000" + "00000000"
        got = self.run_test([vdev("virtio-input"), "hostdev", "/nowhere/event"],
                            f"x-virtio-start 1 {ALL} 16\nx-queue-add 1 0 in:8\nx-queue-kick 1 0\nx-host-input 0 0x{event}\nx-queue-used 1 0\n"
                            "x-host-remove 0\nx-host-input 0 0x00\nx-host-input x 0x00\nx-host-input 0 0x0\n",
                            options=["--stand-in", "char:/nowhere/event"])
        self.assertEqual(got[3:6], ["OK", "OK 0 8 0x0000000000000000", "OK"])
        self.assertEqual([line.split()[0] for line in got[6:]], ["FAIL", "ERR", "ERR"])
        self.assertIn("No such device", self.errors)
        for wrong in ("x=y", "char:/a=b", "block:/a", "/a"):
            self.run_test([vdev("pckeyboard")], status=2, options=["--stand-in", wrong])

    def test_status_and_button(self):
        got = self.run_test([vdev("wdt-ib700")], "x-status\nx-button\n")
        self.assertEqual([line.split()[0] for line in got], ["OK", "FAIL"])
        self.assertIn("stopped", self.errors)

    def test_a_device_tree(self):
        got = self.run_test([*PICS[:4], vdev("pl031"), "intr", "ioapic:8"], "x-fdt\n")
        self.assertIn(b"arm,pl031\0", bytes.fromhex(got[0].removeprefix("OK 0x")))

    def test_inputs_have_an_end(self):
        got = self.run_test([*PICS[:4], vdev("pckeyboard")], "set_irq_in ioapic in 23 1\nset_irq_in ioapic in 24 1\n")
        self.assertEqual([line.split()[0] for line in got], ["OK", "FAIL"])

    def test_a_processor_takes_interrupts(self):
        """A line of 8259s in user space, by mask, vector and acknowledge; the end of a level-triggered one of an ioapic."""
        chips = "vdev ioapic name pic accel off vdev 8259 loc io:0xa0".split()
        got = self.run_test([*chips, vdev("8259"), "loc", "io:0x20"],
                            "x-acknowledge\noutb 0x20 0x11\noutb 0x21 0x40\noutb 0x21 4\noutb 0x21 1\noutb 0x21 0\n"
                            "set_irq_in pic in 5 1\nx-acknowledge\nx-acknowledge\nx-eoi 0x45\nx-eoi 256\n")
        self.assertEqual([got[0], *got[7:]], ["OK none", "OK 69", "OK none", "OK", "ERR 256 is too large: at most 0xff"])

    def test_bytes_flip_after_the_first_read(self):
        """The device sees the request as it was: it has read it once."""
        got = self.run_test(self.disk(), f"x-virtio-start 1 {ALL} 16\nmemset 0x200000 16 0\nx-flip 0x200008 8 1\n"
                            "x-queue-add 1 0 out@0x200000:16 in:512 in:1\nx-flips\nx-queue-kick 1 0\nx-flips\nreadq 0x200008\nreadq 0x200000\n")
        self.assertEqual(got[4:], ["OK 1", "OK", "OK 0", "OK 0x0101010101010101", "OK 0x0000000000000000"])

    def test_a_ring_that_flips(self):
        """What the driver wrote changes under the walker: it ends in used buffers or NEEDS_RESET, not in a crash."""
        for mask in (0x01, 0x80, 0xff):
            got = self.run_test([vdev("virtio-entropy")], f"x-virtio-start 1 {ALL} 16\nx-flip 0x100000 16 {mask}\nx-queue-add 1 0 in:8\n"
                                "x-queue-kick 1 0\nx-flips\nx-virtio-status 1\n")
            self.assertEqual(got[4], "OK 0")
            self.assertIn(got[5], ("OK 0x0f", "OK 0x4f"))

    def test_snapshots(self):
        got = self.run_test([vdev("pckeyboard")], "writel 0x5000 1\nx-snapshot a\nwritel 0x5000 2\nwritel 0x9000 3\nx-restore a\n"
                            "readl 0x5000\nreadl 0x9000\nx-restore b\n")
        self.assertEqual(got[5:7], ["OK 0x0000000000000001", "OK 0x0000000000000000"])
        self.assertTrue(got[7].startswith("FAIL"))


class Traces(Bench):
    SCRIPT = (f"x-msi-intercept\nx-dma-log on\nx-virtio-start 1 {ALL} 32\n" +
              "x-queue-add 1 0 in:16\nx-queue-kick 1 0\nx-queue-used 1 0\nclock_step 1000\n" * 20)

    def trace(self, seed):
        path = self.folder / f"trace{seed}"
        path.unlink(missing_ok=True)
        self.script([vdev("virtio-entropy")], self.SCRIPT, options=["--seed", str(seed), "--trace", str(path)])
        return path

    def test_same_script_and_seed_same_bytes(self):
        first = self.trace(7).read_bytes()
        self.assertEqual(self.trace(7).read_bytes(), first)
        self.assertNotEqual(self.trace(8).read_bytes().replace(b"seed 8", b"seed 7"), first)

    def test_devices_with_timers_and_files(self):
        words = [*PICS, vdev("ser8250"), "intr", "ioapic:4", "hostdev", ">" + str(self.folder / "out")]
        dice = random.Random(3)
        script = "irq_intercept_in ioapic\n" + "".join(dice.choice(
            (f"outb {0x3f8 + dice.randrange(8)} {dice.randrange(256)}\n", f"inb {0x3f8 + dice.randrange(8)}\n",
             f"clock_step {dice.randrange(5000000)}\n")) for _ in range(3000))
        traces = []
        for i in range(2):
            path = self.folder / f"t{i}"
            self.script(words, script, options=["--trace", str(path), "--quiet"])
            traces.append(path.read_bytes())
        self.assertEqual(*traces)
        self.assertIn(b"IRQ", traces[0])

    def test_replay(self):
        path = self.trace(7)
        self.run_test([], options=["--replay", str(path)])
        lines = path.read_text().splitlines()
        number = max(i for i, line in enumerate(lines) if line.startswith("< OK 0 16"))
        lines[number] = lines[number][:-1] + ("0" if lines[number][-1] != "0" else "1")
        path.write_text("\n".join(lines) + "\n")
        self.run_test([], options=["--replay", str(path)], status=1)
        self.assertIn(f"trace7:{number + 1}: after 'x-queue-used 1 0' the trace has '{lines[number][2:]}', this run", self.errors)
        path.write_text("\n".join(lines[:5]) + "\nwhat\n")
        self.run_test([], options=["--replay", str(path)], status=2)


    def test_words_with_line_breaks(self):
        path = self.folder / "trace"
        words = [vdev("pckeyboard"), "cmdline", "a \nb \\n c\\\\n\\"]
        self.script(words, "inb 0x64\n", options=["--trace", str(path)])
        self.run_test([], options=["--replay", str(path), "--trace", str(self.folder / "again")])
        head = [line for line in path.read_text().splitlines() if line.startswith("# word")]
        self.assertEqual(head[-1], "# word a \\nb \\\\n c\\\\\\\\n\\\\")
        self.assertEqual([line for line in (self.folder / "again").read_text().splitlines() if line.startswith("# word")], head)

    def test_what_cannot_be_read_or_written_is_no_success(self):
        keyboard, script = vdev("pckeyboard"), self.file("one", "inb 0x64\n")
        self.run_test([keyboard], options=["--script", "/"], status=2)
        self.assertIn("/: Is a directory", self.errors)
        for words in ([], [keyboard]):
            self.run_test(words, options=["--replay", "/"], status=2)
            self.assertIn("the trace cannot be read", self.errors)
        self.run_test([keyboard], options=["--script", script, "--trace", "/dev/full"], status=2)
        self.assertIn("/dev/full: not all could be written", self.errors)
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([BUILD / "vdev-test", "--script", script, keyboard], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)


class Program(Bench):
    def test_wrong_lines_have_numbers(self):
        self.script([vdev("pckeyboard")], "# a comment\n\nendianness\nreadl\ninb 0x60\n", status=2)
        self.assertIn("script:4: readl: ERR", self.errors)

    def test_a_limit_is_of_a_request(self):
        with subprocess.Popen([BUILD / "vdev-test", "--limit", "1", BUILD / "vdevs/fuzz/vdev-buggy.so", "mistake", "2"],
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as test:
            test.stdin.write("outb 0x1000 0x5c\n")
            test.stdin.flush()
            with self.assertRaises(subprocess.TimeoutExpired):
                test.wait(1.5)
            _, errors = test.communicate("outb 0x1001 0xa7\n", timeout=30)
        self.assertEqual(test.returncode, 124)
        self.assertIn("-:2: no answer within 1 s: outb 0x1001 0xa7", errors)

    def test_expectations(self):
        self.script([vdev("pckeyboard")], "writeb 0 5\nreadb 0\nx-expect OK 0x0000000000000005\n")
        self.script([vdev("pckeyboard")], "readb 0\nx-expect OK 0x0000000000000005\n", status=1)
        self.assertIn("script:2:", self.errors)

    def test_options(self):
        self.assertIn("--replay", "\n".join(self.run_test([], options=["--help"])))
        self.assertIn("x-flip", self.run_test([], options=["--list"]))
        for options, words in (([], []), (["--foo"], []), (["--script", "a", "--replay", "b"], []), (["--seed", "x"], []),
                               (["--script", "/nothing"], [vdev("pckeyboard")]), ([], ["/tmp/foo.so"])):
            self.run_test(words, options=options, status=2)
        self.run_test(["/tmp/vdev-nothing.so"], status=65)
        self.assertIn("vdev-nothing.so", self.errors)

    def test_the_memory_by_default_is_in_no_ones_way(self):
        self.assertEqual(self.run_test(["system", "a", vdev("trace"), "loc", "2000000"], "readl 0x2000000\nreadb 0xffffff\n"),
                         ["OK 0x0000000000000000", "OK 0x0000000000000000"])
        self.run_test([vdev("pckeyboard"), "nonsense"], status=65)
        self.assertIn("command line:3:1: error: unknown option 'nonsense' of vdev pckeyboard", self.errors)
        self.run_test(["system", "a", vdev("pckeyboard"), "nonsense"], status=65)
        self.assertIn("command line:5:1: error: unknown option 'nonsense' of vdev pckeyboard", self.errors)

    def test_a_configuration_file(self):
        path = self.file("a.qvmconf", "ram 8m\nvdev pckeyboard\n")
        self.assertEqual(self.run_test(["@" + path], "readb 0x7fffff\nreadb 0x800000\n"),
                         ["OK 0x0000000000000000", "OK 0x00000000000000ff"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
