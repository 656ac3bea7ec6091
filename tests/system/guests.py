# SPDX-License-Identifier: Apache-2.0
"""VMs for the tests: configurations, guests with a script of their own, and what they said."""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from lab import agent, board as boards, cpio, hangs, images

TOP = pathlib.Path(__file__).resolve().parents[2]

PLATFORM = """\
vdev ioapic intr apic name myioapic
vdev 8259 loc 0x20
vdev 8259 loc 0xa0
vdev timer8254 intr myioapic:0
vdev mc146818 intr myioapic:8
vdev pckeyboard
"""
# The same chips, none of them KVM's but the local APICs (docs/design/interrupts.md).
SPLIT = PLATFORM.replace("name myioapic", "name myioapic accel off")
MACHINES = {"kernel": PLATFORM, "split": SPLIT}
machine = "kernel"  # the one that tests without a wish get; the fixture of that name sets it

# A file of the documented system, with its addresses.
STOCK = (TOP / "vdevs/hpet/stock.qvmconf").read_text()

SERIAL = "vdev ser8250 intr myioapic:4 hostdev >-\n"
CONSOLE = "vdev virtio-console\n"

TRACE = "/sys/kernel/tracing"

# 20 bytes: "Hi" and a line feed on COM1, then the reset register.
RAW_HI = b"\xba\xf8\x03\xb0H\xee\xb0i\xee\xb0\n\xee\xba\x03\x06\xb0\x01\xee\xf4\x90"


def build_small(folder):
    """The guests without an operating system: into folder. Returns their paths."""
    raw = pathlib.Path(folder) / "hi.bin"
    raw.write_bytes(RAW_HI)
    paths = [raw]
    for source in sorted((TOP / "tests/guests").glob("*.c")):
        target = pathlib.Path(folder) / (source.stem + ".bin")
        subprocess.run([TOP / "tests/guests/build", source, target], check=True)
        paths.append(target)
    subprocess.run([TOP / "tests/guests/loads/build", folder], check=True)
    return paths


def build_vdev(name, folder, compiler="cc"):
    """A vdev of tests/vdevs, as one is built outside of the tree: from the public headers alone."""
    subprocess.run([compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", f"-I{TOP}/include",
                    TOP / f"tests/vdevs/{name}.c", "-o", pathlib.Path(folder) / f"vdev-{name}.so"], check=True)


def linux(script, cpus=1, memory="256m", cmdline="", extra="", console=CONSOLE, platform=None, serial=""):
    """(configuration, initramfs) of a stock guest that runs `script` and powers off."""
    where = "hvc0" if "virtio-console" in console else "ttyS0"
    configuration = (f"ram {memory}\n" + "cpu\n" * cpus +
                     f'load /payload/vmlinuz\ninitrd load /tmp/t/initrd\ncmdline "console={where} quiet panic=-1 {cmdline}"\n' +
                     (platform or MACHINES[machine]) + serial + extra + console)
    if script is None:
        return configuration, b""
    return configuration, cpio.archive({"test": "#!/bin/busybox sh\nbusybox --install -s /bin\n" + script})


def link_build(folder, build, name="build", programs=("qvm",)):
    """Programs of a build and its vdevs, into folder/NAME: what is there is linked, not copied."""
    (folder / name / "vdevs").mkdir(parents=True)
    for program in programs:
        os.link(TOP / build / program, folder / name / program)
    for vdev in (TOP / build / "vdevs").glob("vdev-*.so"):
        os.link(vdev, folder / name / "vdevs" / vdev.name)


@contextlib.contextmanager
def board_with(fill, build="build", **options):
    """A board whose payload is what `fill` puts into a folder; the folder is beside what is linked from `build`."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="payload-", dir=TOP / build))
    folder.chmod(0o755)  # some tests run qvm as another user
    try:
        fill(folder)
        with boards.Board(payload=[folder], **options) as running:
            hangs.shared.append(running)
            yield running
            hangs.shared.remove(running)
    finally:
        shutil.rmtree(folder)


class Host:
    """A board, with what the tests do on it."""

    def __init__(self, board):
        self.board = board

    def run(self, script, **options):
        return self.board.run(script, **options)

    def prepare(self, configuration, archive=b"", name="vm"):
        self.board.push(configuration.encode(), f"/tmp/t/{name}.qvmconf")
        self.board.push(archive, "/tmp/t/test.cpio")
        self.board.run("cat /payload/initrd /tmp/t/test.cpio > /tmp/t/initrd")

    def command(self, words="", build="build-asan", name="vm"):
        return (f"env ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "
                f"/payload/{build}/qvm @/tmp/t/{name}.qvmconf {words}")

    def qvm(self, configuration, archive=b"", words="", build="build-asan", timeout=90, before="", check=True):
        """Runs a VM to its end. Returns the Result; with check, the status must be 0 and no sanitizer may have spoken."""
        self.prepare(configuration, archive)
        result = self.board.run(f"{before}\nexec {self.command(words, build)} < /dev/null", timeout=timeout, check=False)
        return self.judge(result, check)

    def judge(self, result, check=True):
        """The Result of a VM that has ended: no sanitizer may have spoken, and with check the status must be 0."""
        assert "ERROR: AddressSanitizer" not in result.error and "runtime error" not in result.error, result.error[-4000:]
        assert "LeakSanitizer" not in result.error, result.error[-4000:]
        if check:
            assert result.status == 0, (result.status, result.text[-3000:], result.error[-3000:])
        return result

    def linux(self, script, **options):
        """Boots a stock guest whose script comes to its end; returns what its console said."""
        run = {key: options.pop(key) for key in ("words", "build", "timeout", "before", "check") if key in options}
        result = self.qvm(*linux(f"{script}\necho script=ended\n", **options), **run)
        ended = "script=ended" in result.text
        # An emulated board does that to a guest now and then (lab/README.md): one more try, which is counted.
        if not ended and "triple fault" in result.error:
            raise agent.CommandTimeout(f"the guest had a triple fault: {result.text[-300:]} {result.error[-300:]}")
        assert ended or run.get("check") is False, (result.text[-3000:], result.error[-3000:])
        return result.text.replace("\r\n", "\n")

    def start(self, configuration, archive=b"", build="build-asan", words="", stdin="/dev/null"):
        """Starts a VM in the background of the board; returns a Command whose output is the VM's."""
        self.prepare(configuration, archive)
        return self.board.popen(f"exec {self.command(words, build)} < {stdin}")


class Phases:
    """A guest that waits for a line between its steps; KVM's statistics at each stop. `start`: makes a Command of the guest's
    script, where it is not qvm with guests.linux(script, **options)."""

    def __init__(self, host, steps, start=None, **options):
        script = "stty -echo; " + "".join(f"echo stop{i}; read x; {step}\n" for i, step in enumerate(steps))
        script += f"echo stop{len(steps)}; read x\n"
        # Nested page faults are told apart on x86-64 only.
        host.run(f"mount -t tracefs t {TRACE} 2>/dev/null; echo 0 > {TRACE}/tracing_on; echo > {TRACE}/trace; "
                 f"echo 1 > {TRACE}/events/kvm/kvm_userspace_exit/enable; "
                 f"echo 'exit_reason == 0x400' > {TRACE}/events/kvm/kvm_exit/filter && echo 1 > {TRACE}/events/kvm/kvm_exit/enable",
                 check=False)
        self.host, self.number = host, 0
        self.command = (start or self._qvm)(script, **options)
        self.command.read_until("stop0", timeout=90)

    def _qvm(self, script, **options):
        self.host.prepare(*linux(script, **options))
        return self.host.board.popen(f"exec {self.host.command(build='build')}")

    def step(self, line=""):
        """Runs the next step, with `line` as $x; returns what it added to KVM's statistics, and its exits to user space by reason.
        The statistics' `npf`, nested page faults, are doorbells here: all memory has been touched before."""
        stats = "sleep 0.3; cd /sys/kernel/debug/kvm/[0-9]*-*; for f in exits mmio_exits; do echo $f $(cat $f); done; "
        before = self.host.run(f"{stats} echo > {TRACE}/trace; echo 1 > {TRACE}/tracing_on").text
        self.command.write(line.encode() + b"\n")
        self.number += 1
        self.command.read_until(f"stop{self.number}", timeout=120)
        after = self.host.run(f"{stats} echo 0 > {TRACE}/tracing_on; grep -o 'reason KVM_EXIT_[A-Z]*' {TRACE}/trace "
                              f"| sort | uniq -c; echo npf $(grep -c 'kvm_exit:' {TRACE}/trace)", check=False).text

        def table(text):
            return {name: int(value) for name, value in re.findall(r"^([a-z_]+) (\d+)$", text, re.M)}

        exits = {reason: int(n) for n, reason in re.findall(r"(\d+) reason (KVM_EXIT_\w+)", after)}
        return {name: value - table(before).get(name, 0) for name, value in table(after).items()}, exits

    def end(self):
        self.command.write(b"\n")
        assert self.command.wait(timeout=60).status == 0


def marked(text, mark):
    """What stands behind `mark=` in the console output."""
    found = re.search(rf"^{mark}=(.*)$", text, re.M)
    assert found, f"no {mark}= in {text[-3000:]}"
    return found.group(1).strip()
