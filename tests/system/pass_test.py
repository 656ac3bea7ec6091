# SPDX-License-Identifier: Apache-2.0
"""Devices of the host that a guest drives itself: Debian's kernel with its own drivers, behind the IOMMU of a board with such devices
(lab/passing.py). What a device did is looked at on its other side: in the board's files, in what came by the network, in the host's memory."""
import array
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

import guests
from guests import TOP, marked
from lab import board as boards, cache, cpio, full_kernel, images, passing
from lab.machines import AARCH64, X86_64, Machine


@dataclasses.dataclass(frozen=True)
class Kind:
    """What differs between the boards."""
    base: Machine
    iommu: str
    build: str
    ram: str
    platform: str
    outside: str  # physical addresses of the host at which the guest has no RAM
    fault: str    # what the host's kernel says of a write that the IOMMU has stopped
    loop: str     # a VM with a guest that does nothing for ever


PASSED = ("nic", "virtio-net", "nvme", "sound", "serial", "edu")
LOOPS = {"x86_64": b"\xeb\xfe", "aarch64": b"\0\0\0\x14"}
KINDS = {
    "x86_64": Kind(X86_64, "intel", "build", "ram 256m\n", guests.PLATFORM, "0x20000000 0x200000000",
                   r"DMAR: \[DMA Write .*00:10\.0", "ram 1m\nload 0x8000,/payload/loop.bin\n" + guests.PLATFORM),
    "aarch64": Kind(AARCH64, "smmuv3", "build-aarch64", "ram 0x80000000,256m\n", "", "0x40000000 0x80000000",
                    "arm-smmu-v3.*event 0x10 received", "ram 0x80000000,1m\nload 0x80000000,/payload/loop.bin\n"),
}
DRIVERS = ["e1000e", "nvme", "snd_hda_codec_generic", "snd_hda_intel", "snd_pcm_oss", "uio_pci_generic", "virtio_net"]

DATA = 16 << 20
HERTZ, SECONDS = 660, 2
RATE, WAV_HEADER, BLOCK, LOUD = 44100, 44, 441, 1000  # a block is 10 ms
TEXT = "".join(f"line {n} of what the guest says\n" for n in range(50))
OURS, THEIRS = "the host's page.", "by edu's own DMA"
REQUESTS, PINGS, INTERRUPTS = 2000, 500, 20

SYSFS = "/sys/bus/pci/devices/"
NIC, NVME, EDU, PAIR = (passing.host_name(name) for name in ("nic", "nvme", "edu", "pair"))
WAIT = "await() { for i in $(seq 300); do eval \"$1\" 2> /dev/null && return; usleep 100000; done; echo missing: \"$1\"; }"

AT = {name: SYSFS + passing.host_name(name) for name in PASSED}
NET_UP = f"""N=$(ls {AT['nic']}/net); ip link set $N up; ip addr add 10.0.2.15/24 dev $N; await '[ $(cat /sys/class/net/$N/carrier) = 1 ]'"""
# The guest has the devices where the host has them. $x is what the test tells a step.
SERIAL_AND_EDU = f"""
T=/dev/$(ls {AT['serial']}/tty); stty -F $T raw; exec 3> $T; cat /text >&3
await 'grep -q tx:{len(TEXT)} /proc/tty/driver/serial'; grep ttyS /proc/interrupts | sed s/^/interrupt=/; exec 3>&-
echo {passing.IDS['edu']} > /sys/bus/pci/drivers/uio_pci_generic/new_id; await '[ -c /dev/uio0 ]'
/edu {AT['edu']} check; /edu {AT['edu']} interrupt /dev/uio0 {INTERRUPTS}; grep uio /proc/interrupts | sed s/^/interrupt=/
"""
STEPS = {
    "nic and nvme": f"""
for d in nic:{AT['nic']} virtio-net:{AT['virtio-net']}/virtio* nvme:{AT['nvme']} sound:{AT['sound']} serial:{AT['serial']}; do
    echo driver-${{d%%:*}}=$(basename $(readlink ${{d#*:}}/driver))
done
{NET_UP}
ping -c 3 10.0.2.2 | grep received
V=$(ls {AT['virtio-net']}/virtio*/net); ip link set $V up; ip addr add 10.0.2.16/32 dev $V; ip route add 10.0.2.3 dev $V
echo virtio-pings=$(ping -c 3 10.0.2.3 | grep received); grep $(basename {AT['virtio-net']}/virtio*)- /proc/interrupts | sed s/^/interrupt=/
head -c {DATA} /dev/urandom > /tmp/up; nc 10.0.2.2 $x < /tmp/up > /tmp/down
echo up=$(sha256sum < /tmp/up); echo down=$(sha256sum < /tmp/down); rm /tmp/down
await '[ -b /dev/nvme0n1 ]'; dd if=/tmp/up of=/dev/nvme0n1 bs=64k oflag=direct 2> /dev/null
dd if=/dev/nvme0n1 of=/tmp/back bs=64k count={DATA >> 16} iflag=direct 2> /dev/null
cmp /tmp/up /tmp/back && echo back=same; rm /tmp/back
echo 1 > {AT['nic']}/rom; echo rom=$(sha256sum < {AT['nic']}/rom); echo 0 > {AT['nic']}/rom
dd if=/dev/nvme0n1 of=/dev/null bs=4k count=100 iflag=direct 2> /dev/null; ping -A -c 20 10.0.2.2 > /dev/null""",
    "requests": f"dd if=/dev/nvme0n1 of=/dev/null bs=4k count={REQUESTS} iflag=direct 2> /dev/null",
    "pings": f"ping -A -c {PINGS} 10.0.2.2 | grep received > /tmp/pings",
    "the others": f"""sed s/^/pings=/ /tmp/pings
await '[ -c /dev/dsp ]'; /tone {HERTZ} {SECONDS}
grep -E 'nvme|snd_hda|eth' /proc/interrupts | sed s/^/interrupt=/
{SERIAL_AND_EDU}
/edu {AT['edu']} copy $x""",
}


class Exchange(threading.Thread):
    """A server on the machine around the board: takes all that comes by one connection, then sends as much of its own."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(120)
        self.port = self.listener.getsockname()[1]
        self.own = os.urandom(DATA)
        self.received = hashlib.sha256()

    def run(self):
        with self.listener, contextlib.suppress(OSError), self.listener.accept()[0] as connection:
            while data := connection.recv(1 << 16):
                self.received.update(data)
            connection.sendall(self.own)


def program(name, machine):
    source = TOP / f"tests/guests/linux/{name}.c"
    flags = ["-O2", "-static", "-Wall", "-Wextra", "-Werror"]

    def build(path):
        subprocess.run([machine.compiler, *flags, source, "-o", path, "-lm"], check=True)

    return cache.file_bytes(cache.artifact(machine.named(f"guest-{name}"), cache.key(source.read_bytes(), flags), build))


def fill(folder, kind):
    """What the board gets: qvm and its vdevs, a kernel with all drivers, the guest's files."""
    guests.link_build(folder, kind.build, programs=("qvm", "qvm-pass"))
    (folder / "loop.bin").write_bytes(LOOPS[kind.base.name])
    for guest in ("edu", "storm"):
        subprocess.run([TOP / "tests/guests/build", TOP / f"tests/guests/{guest}.c", folder / f"{guest}.bin"], check=True)
    shutil.copyfile(full_kernel.kernel(kind.base), folder / "vmlinuz")
    programs = {name: program(name, kind.base) for name in ("edu", "tone")}
    (folder / "initrd").write_bytes(cache.file_bytes(images.guest_initrd(kind.base)) + cpio.archive(
        {**full_kernel.module_files(DRIVERS, kind.base), **programs, "text": TEXT}))
    (folder / "edu").write_bytes(programs["edu"])
    (folder / "edu").chmod(0o755)


def bind(*devices):
    return "/payload/build/qvm-pass bind " + " ".join(devices)


class Passed:
    """A board, and what a guest with the devices did on it."""

    def __init__(self, kind, board):
        self.kind, self.board, self.host = kind, board, guests.Host(board)
        self._driven = None

    def file(self, name):
        return pathlib.Path(self.board.folder, name).read_bytes()

    def clean(self):
        """No VM, no trace of one, and every device the host's again."""
        self.board.run("pkill -9 -x qvm; while pgrep -x qvm; do sleep 0.1; done; rm -rf /tmp/t; mkdir -p /tmp/t; "
                       "for d in /sys/bus/pci/drivers/vfio-pci/0*; do [ ! -e $d ] || /payload/build/qvm-pass unbind $(basename $d); done")

    def start(self, script, names=None, platform=None):
        """A stock guest with devices, each by one line."""
        names, platform = names or PASSED, platform or self.kind.platform
        configuration = (self.kind.ram + 'load /payload/vmlinuz\ninitrd load /tmp/t/initrd\ncmdline "console=hvc0 quiet panic=-1"\n' +
                         platform + "".join(f"pass loc {passing.place(n)}={passing.place(n)}\n" for n in names) + guests.CONSOLE)
        self.host.prepare(configuration, cpio.archive({"test": f"#!/bin/busybox sh\nbusybox --install -s /bin\n{WAIT}\n{script}"}))
        return self.board.popen(f"exec {self.host.command(build='build')}")

    def loop(self, words, name="vm"):
        """Starts a VM with `words` and a guest that does nothing."""
        self.board.push(f"system {name}\n{self.kind.loop}{words}".encode(), f"/tmp/t/{name}.qvmconf")
        return self.board.popen(f"exec {self.host.command(build='build', name=name)} < /dev/null")

    def refused(self, words):
        """What qvm says of a VM that may not have `words`."""
        done = self.loop(words, "other").wait(timeout=20)
        assert done.status in (64, 65), (done.status, done.error)
        return done.error

    def runs(self, words, name="vm"):
        """Starts a VM that does get its `words`; the Command."""
        command = self.loop(words, name)
        self.board.run("for i in $(seq 200); do grep -q . /sys/kernel/debug/kvm/[0-9]*-*/exits 2> /dev/null && "
                       f"[ $(cat /sys/kernel/debug/kvm/[0-9]*-*/exits) -gt 0 ] && exit 0; sleep 0.1; done; exit 1")
        return command

    def drive(self):
        """One guest with all the devices, each by one line, does all the steps; it runs once."""
        if not self._driven:
            self._driven = self._drive()
        return self._driven

    def _drive(self):
        self.clean()
        self.board.run(bind(*(passing.host_name(name) for name in PASSED)))
        target = self.board.popen(f"/payload/edu target {self.kind.outside}")
        address = target.read_until(r"target=(\S+)").group(1).decode()
        exchange = Exchange()
        exchange.start()
        vm = guests.Phases(self.host, list(STEPS.values()), self.start)
        told = {"nic and nvme": str(exchange.port), "the others": address}
        counts = {name: vm.step(told.get(name, "")) for name in STEPS}
        vm.end()
        target.write(b"\n")
        return {"text": vm.command.stdout.decode(errors="replace").replace("\r\n", "\n"), "counts": counts, "exchange": exchange,
                "target": target.wait().text, "log": self.board.run("dmesg").text, "sound": self.file(passing.SOUND),
                "serial": self.file(passing.SERIAL), "nvme": self.file(passing.NVME)[:DATA]}


@contextlib.contextmanager
def opened(kind):
    with guests.board_with(lambda folder: fill(folder, kind), kind.build, peers=kind.base is X86_64,
                           machine=passing.machine(kind.base, kind.iommu)) as running:
        yield Passed(kind, running)


@pytest.fixture(scope="module", params=list(KINDS))
def passed(request):
    kind = KINDS[request.param]
    if not (TOP / kind.build / "qvm").exists():
        pytest.skip(f"there is no {kind.build}")
    with opened(kind) as made:
        yield made


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def interrupts(text, name):
    """How many of a device's interrupts the guest has counted."""
    return sum(int(n) for n in re.findall(rf"^interrupt= *\d+: +(\d+) .*{name}", text, re.M))


def test_nic(passed):
    """Ping, and 16 MiB each way to the machine around the board, whole."""
    done = passed.drive()
    assert marked(done["text"], "driver-nic") == "e1000e"
    assert "3 packets received" in done["text"]
    done["exchange"].join(10)
    assert marked(done["text"], "up").split()[0] == done["exchange"].received.hexdigest()
    assert marked(done["text"], "down").split()[0] == sha256(done["exchange"].own)
    assert interrupts(done["text"], "eth") > 100


def test_nic_whose_tables_fill_a_bar(passed):
    """QEMU's virtio-net has its MSI-X table and its PBA in one BAR of one page: nothing of that BAR can be the guest's directly."""
    done = passed.drive()
    assert marked(done["text"], "driver-virtio-net") == "virtio_net"
    assert marked(done["text"], "virtio-pings") == "3 packets transmitted, 3 packets received, 0% packet loss"
    assert interrupts(done["text"], r"virtio\d+-input") >= 3


def test_expansion_rom(passed):
    """The guest's kernel gives it a place, turns it on and reads what is in the device's ROM."""
    assert marked(passed.drive()["text"], "rom").split()[0] == sha256(passed.file("nic.rom"))


def test_nvme(passed):
    """What the guest has written it reads again, and it is in the disk's file."""
    done = passed.drive()
    assert marked(done["text"], "driver-nvme") == "nvme" and marked(done["text"], "back") == "same"
    assert sha256(done["nvme"]) == marked(done["text"], "up").split()[0]
    assert interrupts(done["text"], "nvme") > REQUESTS


def test_no_request_exits_to_user_space(passed):
    counts = passed.drive()["counts"]
    for name, number in (("requests", REQUESTS), ("pings", PINGS)):
        stats, exits = counts[name]
        print(f"{passed.kind.base.name}, {name}: {sum(exits.values())} exits to user space, {stats['exits'] / number:.2f} exits in all each")
        assert sum(exits.values()) == 0, (name, exits)
    assert marked(passed.drive()["text"], "pings") == f"{PINGS} packets transmitted, {PINGS} packets received, 0% packet loss"


def test_sound(passed):
    """A tone ends up in the sound card's file: its frequency, and no block of silence in it. The card interrupts by MSI."""
    done = passed.drive()
    assert marked(done["text"], "driver-sound") == "snd_hda_intel"
    assert marked(done["text"], "played") == str(SECONDS * RATE)
    assert interrupts(done["text"], "MSI.*snd_hda") > 0
    samples = array.array("h", done["sound"][WAV_HEADER:][:(len(done["sound"]) - WAV_HEADER) // 4 * 4])[::2]
    loud = [max(map(abs, samples[at:at + BLOCK])) > LOUD for at in range(0, len(samples) - BLOCK, BLOCK)]
    first, last = loud.index(True), len(loud) - loud[::-1].index(True)
    assert all(loud[first:last]), [n for n in range(first, last) if not loud[n]]
    assert last - first >= 0.9 * SECONDS * RATE / BLOCK
    rising = [n for n in range(first * BLOCK + 1, last * BLOCK) if samples[n - 1] < 0 <= samples[n]]
    hertz = (len(rising) - 1) * RATE / (rising[-1] - rising[0])
    assert abs(hertz - HERTZ) < 0.01 * HERTZ, hertz


def test_intx(passed):
    """Lines come and come again: each time edu raises one; and those of a serial port, from which each byte arrives."""
    done = passed.drive()
    assert marked(done["text"], "interrupts") == str(INTERRUPTS)
    assert interrupts(done["text"], "uio_pci_generic") == INTERRUPTS
    assert marked(done["text"], "driver-serial") == "serial"
    assert done["serial"].decode() == TEXT
    assert interrupts(done["text"], "ttyS") > 0


def test_intx_of_chips_in_user_space(passed):
    """The same where a thread of qvm ends the interrupts."""
    if passed.kind.base is not X86_64:
        pytest.skip("AArch64 has KVM's interrupt controller alone")
    passed.clean()
    names = ("serial", "edu")
    passed.board.run(bind(*(passing.host_name(name) for name in names)))
    before = len(passed.file(passing.SERIAL))
    text = passed.start(SERIAL_AND_EDU, names, guests.SPLIT).wait(timeout=90).text.replace("\r\n", "\n")
    assert marked(text, "interrupts") == str(INTERRUPTS) and interrupts(text, "uio_pci_generic") == INTERRUPTS
    assert passed.file(passing.SERIAL)[before:].decode() == TEXT and interrupts(text, "ttyS") > 0


def test_dma_reaches_the_guest_only(passed):
    """A device that is told to read and write the host's memory outside of the guest's does neither."""
    done = passed.drive()
    assert marked(done["text"], "factorial") == "3628800" and marked(done["text"], "own") == "same"
    assert OURS not in done["text"] and f"holds={OURS}" in done["target"], done["target"]
    assert re.search(passed.kind.fault, done["log"])


def test_dma_without_an_iommu(passed):
    """The control of the test above: the same program on the host of a board without IOMMU reads and writes such a page. No guest gets
    a device there."""
    machine = passing.machine(passed.kind.base, "none")
    with boards.Board(payload=passed.board.payload, machine=machine) as board:
        assert f"{NIC} is behind no IOMMU: its DMA could reach all of the host's memory" in Passed(passed.kind, board).refused(
            f"pass loc {passing.place('nic')}\n")
        target = board.popen(f"/payload/edu target {passed.kind.outside}")
        address = target.read_until(r"target=(\S+)").group(1).decode()
        said = board.run(f"/payload/edu {SYSFS}{EDU} copy {address}").text
        target.write(b"\n")
        assert marked(said, "own") == "same" and marked(said, "read") == OURS
        assert marked(target.wait().text, "holds") == THEIRS


@pytest.fixture
def owners(passed):
    """The board with all devices the host's."""
    passed.clean()
    return passed


def line(device, function=0):
    return f"pass loc {passing.place(device, function)}\n"


@pytest.mark.parametrize("bound,words,said", [
    ((), line("nvme"), f"{NVME} is in use by the host: its driver 'nvme' has it"),
    ((), line("sound"), f"{passing.host_name('sound')} has no driver that hands it over"),
    ((PAIR,), line("pair"), f"{PAIR} cannot be passed: {passing.host_name('pair', 1)} is in the same IOMMU group"),
    ((NIC,), line("nic") * 2, f"{NIC} is passed twice"),
    ((NIC, EDU), line("nic") + f"pass loc {passing.place('nic')}={passing.place('edu')}\n", f"pass {EDU}: the guest's 0:20.0 is taken"),
    ((), "pass loc pci:0x1234/0x11e8\n", "the host has 2 PCI devices 1234:11e8"),
    ((), "pass loc pci:0x1234/0x11e8/2\n", "the host has only 2 PCI devices 1234:11e8"),
], ids=["host-driver", "no-driver", "half-a-group", "twice", "one-place", "which", "too-few"])
def test_misuse(owners, bound, words, said):
    """Each is refused before the guest starts, with the reason; on the host nothing has changed."""
    look = f"ls -l {SYSFS}*/driver; ls /run/qvm-ledger 2> /dev/null; true"
    if bound:
        owners.board.run(bind(*bound))
    before = owners.board.run(look).text
    assert said in owners.refused(words)
    assert owners.board.run(look).text == before


def test_one_owner(owners):
    """What a running VM has no other gets, nor the rest of its group, nor the host; a killed VM has nothing any more."""
    rest = passing.host_name("pair", 1)
    owners.board.run(bind(NIC, NVME, PAIR, rest))
    first = owners.runs(line("nic") + line("nvme") + line("pair"), "first")
    taken = "VM 'first' (/tmp/t/first.qvmconf:"
    for words, device in ((line("nic"), NIC), (line("pair", 1), rest)):
        assert f"pass {device}: {taken}" in owners.refused(words)
    pass_tool = "/payload/build/qvm-pass"
    assert re.search(rf"^{NIC} .*{re.escape(taken)}", owners.board.run(f"{pass_tool} list").text, re.M)
    done = owners.board.run(f"{pass_tool} unbind {NVME}", check=False)
    assert done.status == 1 and f"{NVME}: {taken}" in done.error
    owners.board.run("pkill -9 -x qvm")
    first.wait(timeout=10)
    second = owners.runs(line("nic") + line("pair") + line("pair", 1), "second")
    owners.board.run(f"{pass_tool} unbind {NVME}; for i in $(seq 100); do [ -b /dev/nvme0n1 ] && exit 0; sleep 0.1; done; exit 1")
    owners.board.run("pkill -QUIT -x qvm")
    assert second.wait(timeout=10).status == 3


def storm(passed, pairs, turns):
    """A guest ends its device's interrupts for ever and never quiets the device, beside one that writes and verifies a disk. Returns for
    each pair the second one's rate beside the storm, as a part of its rate while the first stands still; and the first one's interrupts."""
    passed.board.run(bind(EDU, NVME))
    configuration = f"system storm\nram 16m\nload 0x8000,/payload/storm.bin\n{guests.PLATFORM}vdev ser8250 hostdev >-\n{line('edu')}"
    passed.board.push(configuration.encode(), "/tmp/t/storm.qvmconf")
    first = passed.board.popen(f"echo $$ > /tmp/t/storm.pid; exec {passed.host.command(build='build', name='storm')} < /dev/null")
    first.read_until(r"\.\.\.", timeout=60)
    second = passed.start("await '[ -b /dev/nvme0n1 ]'; head -c 1048576 /dev/urandom > /tmp/a; n=0; while true; do\n"
                          "dd if=/tmp/a of=/dev/nvme0n1 bs=64k oflag=direct 2> /dev/null; echo 3 > /proc/sys/vm/drop_caches\n"
                          "dd if=/dev/nvme0n1 bs=64k count=16 iflag=direct 2> /dev/null | cmp - /tmp/a || echo bad=1\n"
                          "n=$((n+1)); echo turn=$n.; done", ("nvme",))

    def seconds(signal):
        passed.board.run(f"kill -{signal} $(cat /tmp/t/storm.pid)")
        begun = int(second.read_until(r"turn=(\d+)\.", timeout=120).group(1))
        start = time.monotonic()
        second.read_until(rf"turn={begun + turns}\.", timeout=240)
        return time.monotonic() - start

    rates = [seconds("STOP") / seconds("CONT") for _ in range(pairs)]
    passed.board.run("pkill -KILL -x qvm")
    second.wait(timeout=30)
    seen = first.wait(timeout=30).text.count(".") * 1000
    assert "bad=" not in second.stdout.decode(errors="replace")
    return rates, seen


def test_a_storm_is_its_own_guests(owners):
    """A device that always asks, whose guest never quiets it: the host lives, and another guest's disk is read as it was written. What
    the other's rate is is measured by `tests/soak --only storm`."""
    if owners.kind.base is not X86_64:
        pytest.skip("the guest is for PCs")
    rates, seen = storm(owners, 1, 5)
    print(f"{seen} interrupts; the other guest's rate beside them: {rates[0]:.2f} of its own")
    assert seen > 5000


def kills(passed, count, rng):
    """Kills `count` VMs whose guest, without an operating system, makes a device do DMA, every other one while it starts. Each must run
    its first round whatever was killed before."""
    passed.board.run(bind(EDU))
    configuration = f"ram 16m\nload 0x8000,/payload/edu.bin\n{guests.PLATFORM}vdev ser8250 hostdev >-\n{line('edu')}"
    passed.board.push(configuration.encode(), "/tmp/t/vm.qvmconf")
    for number in range(count):
        command = passed.board.popen(f"echo $$ > /tmp/t/pid; exec {passed.host.command(build='build')} < /dev/null")
        if number % 2 == 0:
            command.read_until(r"\.", timeout=60)
        passed.board.run(f"until [ -s /tmp/t/pid ]; do sleep 0.01; done; sleep {rng.uniform(0, 0.5):.3f}; kill -9 $(cat /tmp/t/pid); rm /tmp/t/pid")
        command.wait(timeout=30)
    command = passed.board.popen(f"exec {passed.host.command(build='build')} < /dev/null")
    command.read_until(r"\.\.\.", timeout=60)
    passed.board.run("pkill -QUIT -x qvm")
    assert command.wait(timeout=10).status == 3


def kills_of_linux(passed, count, rng):
    """The same with a stock guest that writes to a disk and floods a network; a guest after the kills does both, and ends as it should."""
    names = ("nic", "nvme")
    passed.board.run(bind(NIC, NVME))
    load = (f"{NET_UP}; await '[ -b /dev/nvme0n1 ]'; (ping -f 10.0.2.2 > /dev/null &)\n"
            "while true; do dd if=/dev/zero of=/dev/nvme0n1 bs=64k count=50 oflag=direct 2> /dev/null; echo loaded=1; done")
    for number in range(count):
        vm = passed.start(load, names)
        if number % 2 == 0:
            vm.read_until("loaded=1", timeout=120)
        passed.board.run(f"sleep {rng.uniform(0, 5):.3f}; pkill -9 -x qvm")
        vm.wait(timeout=30)
    done = passed.start(f"{NET_UP}; ping -c 3 10.0.2.2 | grep received; await '[ -b /dev/nvme0n1 ]'; head -c 1048576 /dev/urandom > /tmp/a\n"
                        "dd if=/tmp/a of=/dev/nvme0n1 bs=64k oflag=direct 2> /dev/null\n"
                        "dd if=/dev/nvme0n1 bs=64k count=16 iflag=direct 2> /dev/null | cmp - /tmp/a && echo back=same", names).wait(timeout=120)
    assert done.status == 0 and "3 packets received" in done.text and marked(done.text.replace("\r\n", "\n"), "back") == "same", done.text


def test_killed_at_any_moment_the_next_start_works(owners):
    if owners.kind.base is not X86_64:
        pytest.skip("the guest is for PCs")
    kills(owners, 20, random.Random(7))
