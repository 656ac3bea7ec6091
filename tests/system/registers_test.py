# SPDX-License-Identifier: Apache-2.0
"""Devices of the host that are not on PCI, driven by a guest: the clock of AArch64's board, with its interrupt (lab/registers.py)."""
import re
import shutil
import subprocess
import time

import pytest

import guests
from guests import TOP, marked
from lab import cpio, images, registers
from lab.machines import AARCH64

BUILD = TOP / "build-aarch64"
RTC = "/sys/class/rtc/rtc0"
HOST = f"{registers.RTC:#x}"
WINDOW = f"pass loc mem:{HOST},0x1000,rwn intr gic:34={registers.RTC_INTERRUPT}\n"
GUARD = f"vdev clk-guard loc mem:{registers.RTC + 8:#x} rule 0=read-only\n"  # the register that sets the clock
READS = 500

pytestmark = pytest.mark.skipif(not (BUILD / "qvm").exists(), reason="there is no build-aarch64")


def fill(folder):
    guests.link_build(folder, BUILD)
    for name, path in {"vmlinuz": images.guest_kernel(AARCH64), "initrd": images.guest_initrd(AARCH64),
                       "uio.ko": images.uio_module(AARCH64)}.items():
        shutil.copyfile(path, folder / name)
    subprocess.run(["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", TOP / "tests/system/rtc.dts", "-o", folder / "rtc.dtbo"], check=True)


@pytest.fixture(scope="module")
def clock_board():
    with guests.board_with(fill, BUILD, machine=registers.machine()) as running:
        running.run("modprobe uio; insmod /payload/uio.ko")
        yield running


@pytest.fixture
def host(clock_board):
    clock_board.run("pkill -9 -x qvm; rm -rf /tmp/t /run/qvm; mkdir -p /tmp/t; lsmod | grep -q uio || { modprobe uio; insmod /payload/uio.ko; }", check=False)
    return guests.Host(clock_board)


def linux(words):
    """A stock guest's configuration; `words` is what it has of the clock. Its tree has the host's node, unless the words bring another."""
    return (f'ram 0x80000000,256m\nload /payload/vmlinuz\ninitrd load /tmp/t/initrd\ncmdline "console=hvc0 quiet panic=-1"\n'
            f"{words}{guests.CONSOLE}")


def run(host, words, script):
    archive = cpio.archive({"test": "#!/bin/busybox sh\nbusybox --install -s /bin\n" + script})
    return host.qvm(linux(words), archive, build="build")


def small(words):
    """A VM that reads what it has for ever."""
    return f"ram 0x80000000,1m\nload 0x80000000,/tmp/t/loop.bin\nunsupported reference ignore\n{words}"


LOOP = bytes.fromhex("00000014")  # b .



@pytest.mark.parametrize("tree", ["", "fdt load /payload/rtc.dtbo\n"], ids=["host", "user"])
def test_a_guest_drives_the_hosts_clock(host, tree):
    """Its driver reads the time, and its alarms come by the device's interrupt, the second one too. The guest is told of the device by
    the host's device tree, or by the user's."""
    said = run(host, tree + WINDOW, f"echo time=$(cat {RTC}/since_epoch); for i in 1 2; do echo $(($(cat {RTC}/since_epoch)+2)) > {RTC}/wakealarm; sleep 3; "
               "done; echo interrupts=$(grep rtc-pl031 /proc/interrupts)").text
    assert abs(int(marked(said, "time")) - time.time()) < 120
    assert re.match(r"\d+: +2 +GICv3 +34 Level", marked(said, "interrupts"))


def test_the_hosts_node_in_the_guests_tree(host):
    """With the guest's place, interrupt and clock, and what else the host's has; not for a part of the registers, nor beside a tree of
    the user's."""
    def tree(words):
        host.prepare(linux(words))
        return host.run(host.command("dryrun", "build")).text

    told = tree(f"pass loc mem:0x30000000,0x1000,rwn={HOST} intr gic:40={registers.RTC_INTERRUPT}\n")
    node = told[told.index("pl031@30000000 {"):]
    for part in ('compatible = "arm,pl031", "arm,primecell";', "reg = <0x00 0x30000000 0x00 0x1000>;", "interrupts = <0x00 0x08 0x04>;",
                 'clock-names = "apb_pclk";'):
        assert part in node[:node.index("}")], node
    assert "clock-24000000 {" in told
    assert "pl031" not in tree(f"pass loc mem:{HOST},0x10,rwn\n")
    assert tree("fdt load /payload/rtc.dtbo\n" + WINDOW).count("pl031@") == 1


def test_reads_do_not_exit(host):
    """A whole page is the guest's without qvm: a driver's reads make no exit to user space. One that shares its page with a guarded register does."""
    script = (f"stats() {{ cat {RTC}/since_epoch > /dev/null; }}; echo ready; read x; i=0; while [ $i -lt {READS} ]; do stats; i=$((i+1)); done; "
              "echo done; read x")
    counts = {}
    for name, words in (("alone", WINDOW), ("guarded", WINDOW + GUARD)):
        archive = cpio.archive({"test": "#!/bin/busybox sh\nbusybox --install -s /bin\n" + script})
        vm = host.start(linux(words), archive, build="build", stdin="/proc/self/fd/0")
        exits = "cat /sys/kernel/debug/kvm/[0-9]*-*/mmio_exit_user"
        vm.read_until("ready", timeout=90)
        before = int(host.run(exits).text)
        vm.write(b"\n")
        vm.read_until("done", timeout=90)
        counts[name] = int(host.run(exits).text) - before
        vm.write(b"\n")
        assert vm.wait(timeout=60).status == 0
    print(f"exits to user space for {READS} readings of the clock: {counts}")
    # The console's own doorbells are eventfds.
    assert counts["alone"] < READS / 10 and counts["guarded"] >= READS


def test_a_guard_keeps_the_clock(host):
    """A driver that leaves the clock's rate alone is not counted; one that sets it is, and the clock is as before."""
    quiet = run(host, WINDOW + GUARD, f"cat {RTC}/since_epoch; echo $(($(cat {RTC}/since_epoch)+1)) > {RTC}/wakealarm; sleep 2; "
                "echo interrupts=$(grep rtc-pl031 /proc/interrupts)")
    assert "vdev clk-guard: 0 accesses were not as the guest meant them" in quiet.error
    assert re.match(r"\d+: +1 ", marked(quiet.text, "interrupts"))
    script = f"date -s '2030-01-01 00:00' > /dev/null; hwclock -w -u; echo time=$(cat {RTC}/since_epoch)"
    loud = run(host, WINDOW + GUARD, script)
    assert "vdev clk-guard: write of " in loud.error and "to offset 0x0: read-only" in loud.error
    assert "vdev clk-guard: 0 accesses" not in loud.error
    assert abs(int(marked(loud.text, "time")) - time.time()) < 120
    # Without the guard the same guest sets it: what was shown is the guard's doing.
    free = run(host, WINDOW, script)
    assert int(marked(free.text, "time")) > time.time() + 3600 * 24 * 365
    run(host, WINDOW, f"date -s @{int(time.time())} > /dev/null; hwclock -w -u")


def test_a_part_of_the_registers(host):
    """Four of the device's registers, which are no whole page: they are the device's, and what lies behind them is not there."""
    script = ("echo time=$(devmem 0x9010000 32); echo high=$(devmem 0x9010002 16); devmem 0x9010004 32 0x12345678; echo match=$(devmem 0x9010004 32); "
              "echo byte=$(devmem 0x9010001 8); echo behind=$(devmem 0x9010010 32)")
    words = f"pass loc mem:{HOST},0x10,rwn\nunsupported reference ignore\n"
    said = run(host, words, f"mknod /dev/mem c 1 1 2> /dev/null; echo pl031 > /sys/bus/amba/drivers/rtc-pl031/unbind 2> /dev/null; {script}").text
    assert abs(int(marked(said, "time"), 16) - time.time()) < 120
    assert marked(said, "match") == "0x12345678"
    assert int(marked(said, "behind"), 16) == 0xffffffff


def refused(host, words, before=""):
    """What qvm says of a VM that may not have `words`, and its status."""
    host.board.push(LOOP, "/tmp/t/loop.bin")
    host.board.push(small(words).encode(), "/tmp/t/other.qvmconf")
    done = host.run(f"{before}\ntimeout 8 {host.command(build='build', name='other')} < /dev/null", check=False, timeout=60)
    return done.status, done.error


def test_one_owner(host):
    """What one VM has no other gets, not a part of it nor its interrupt; both have it if both files say so; a killed VM has nothing."""
    host.board.push(LOOP, "/tmp/t/loop.bin")
    first = host.start("system first\n" + small(WINDOW), build="build")
    host.run("for i in $(seq 100); do [ -n \"$(ls /run/qvm-ledger 2> /dev/null)\" ] && break; sleep 0.1; done")
    for words, what in ((WINDOW, "pass mem 0x9010000-0x9010fff"), (f"pass loc mem:0x30000ff0,0x10,rwn={registers.RTC + 0xff0:#x}\n", "pass mem 0x9010ff0-0x9010fff"),
                        (f"pass loc mem:{HOST},8,rwn shared\n", "pass mem 0x9010000-0x9010007"),
                        (f"pass intr gic:40={registers.RTC_INTERRUPT}\n", "pass intr gic:40")):
        status, said = refused(host, words)
        assert status in (64, 65), (status, said)
        assert f"{what}: VM 'first' (/tmp/t/vm.qvmconf:5:" in said, said
    host.run("pkill -9 -x qvm; sleep 0.2")
    assert first.wait(timeout=10).status != 0
    status, said = refused(host, WINDOW)
    assert status == 124, (status, said)  # it ran until its time was over
    shared = f"pass loc mem:{HOST},0x1000,rwn shared\n"
    first = host.start("system first\n" + small(shared), build="build")
    host.run("for i in $(seq 100); do [ -n \"$(ls /run/qvm-ledger 2> /dev/null)\" ] && break; sleep 0.1; done")
    status, said = refused(host, shared)
    assert status == 124, (status, said)
    host.run("pkill -9 -x qvm")
    first.wait(timeout=10)


@pytest.mark.parametrize("words,said", [
    (f"pass loc mem:{HOST},0x1000,rwd\n", "does DMA, and no IOMMU that qvm knows confines what is not on PCI"),
    ("pass loc mem:0x30000000,0x1000,rwn=0x40000000\n", "is memory of the host ('System RAM')"),
    ("pass loc mem:0x9000000,0x1000,rwn\n", "is in use by the host: '9000000.pl011 pl011@9000000' has it"),
    (f"pass loc mem:{HOST},0x1000,rwn intr gic:34=33\n", "no UIO device of the host has interrupt 33"),
    (f"pass loc mem:{HOST},0x2000,rwn\n", "pass mem 0x9010000-0x9011fff is longer than what begins there: '/dev/uio0' ends at 0x9010fff"),
    ("pass loc mem:0x9030000,0x2000,rwn\n", "is longer than what begins there: '9030000.pl061 pl061@9030000' ends at 0x9030fff"),
    (f"pass loc mem:{HOST},0x1000,rwn loc mem:0x30000000,0x1000,rwn={HOST}\n", "pass mem 0x9010000-0x9010fff is passed twice"),
])
def test_misuse(host, words, said):
    """Each is refused before the guest starts, with the reason."""
    status, error = refused(host, words)
    assert status in (64, 65) and said in error, (status, error)


def test_a_driver_of_the_host_comes_first(host):
    """The UIO driver away, nobody gives the clock's interrupt."""
    status, error = refused(host, WINDOW, before="rmmod bulkhead_uio")
    assert status == 65 and "no UIO device of the host has interrupt 34" in error
