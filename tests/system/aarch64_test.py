# SPDX-License-Identifier: Apache-2.0
"""AArch64: qvm, cross-built, on a board of its own, and a stock Debian arm64 guest."""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from lab import board as boards, cpio, hangs, images
from lab.machines import AARCH64, AARCH64_GIC2
from guests import Host, marked

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build-aarch64"

LINUX_SECONDS = 400  # about 30 on a machine that has nothing else to do
PL011 = "vdev pl011\n\tloc 0x1c090000\n\tintr gic:37\n\thostdev >-\n"
SMALL = "ram 0x80000000,2m\nload 0x80000000,/payload/small-{}.bin\n" + PL011

pytestmark = pytest.mark.skipif(not (BUILD / "qvm").exists(), reason="there is no build-aarch64")


@contextlib.contextmanager
def board_with_payload(machine):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="payload-", dir=BUILD))
    folder.chmod(0o755)
    try:
        (folder / "build/vdevs").mkdir(parents=True)
        os.link(BUILD / "qvm", folder / "build/qvm")
        for vdev in (BUILD / "vdevs").glob("vdev-*.so"):
            os.link(vdev, folder / "build/vdevs" / vdev.name)
        for name, path in {"vmlinuz": images.guest_kernel(AARCH64), "initrd": images.guest_initrd(AARCH64)}.items():
            shutil.copyfile(path, folder / name)
        with open(folder / "vmlinuz.gz", "wb") as packed:
            subprocess.run(["gzip", "-1c", folder / "vmlinuz"], stdout=packed, check=True)
        subprocess.run([TOP / "tests/guests/aarch64/build", folder], check=True)
        with boards.Board(payload=[folder], machine=machine) as running:
            hangs.shared.append(running)
            yield running
            hangs.shared.remove(running)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def arm_board():
    with board_with_payload(AARCH64) as running:
        yield running


def clean(board):
    board.run("pkill -9 -x qvm; rm -rf /tmp/t /run/qvm; mkdir -p /tmp/t; ip link del bhtap 2> /dev/null; true", check=False)
    return Host(board)


@pytest.fixture
def arm(arm_board):
    return clean(arm_board)


def qvm(arm, configuration, script=None, **options):
    """Runs a VM to its end; what its console said is .text."""
    archive = cpio.archive({"test": "#!/bin/busybox sh\nbusybox --install -s /bin\n" + script}) if script else b""
    result = arm.qvm(configuration, archive, build="build", **options)
    result.stdout = result.stdout.replace(b"\r\n", b"\n")
    return result


def linux(cpus=1, kernel="vmlinuz", extra=""):
    return ("ram 0x80000000,256m\n" + "cpu\n" * cpus + f"load /payload/{kernel}\ninitrd load /tmp/t/initrd\n"
            'cmdline "console=ttyAMA0 quiet panic=-1"\n' + PL011 + extra)


def test_small_guests_and_their_ends(arm):
    """Entry state, device tree, PSCI; accesses to nothing and those that cannot be decoded; 8 processors."""
    for mode, words, status, said in [(0, "", 0, "T1\n"), (1, "", 0, "T1\n"), (2, "", 0, "T1A\n"),
                                      (2, "unsupported instruction abort", 5, "T1"), (3, "", 0, "T1O\n"),
                                      (3, "unsupported reference fail", 0, "T1A\n"), (3, "unsupported reference abort", 5, "T1"),
                                      (4, "cpu cpu cpu cpu cpu cpu cpu cpu", 0, "T1bcdefgh\n"), (4, "", 0, "T1\n"),
                                      (5, "vdev wdt-sp805 intr gic:32 frequency 1000", 4, "T1")]:
        result = qvm(arm, SMALL.format(mode), words=words, check=False)
        assert (result.status, result.text) == (status, said), (mode, words, result.status, result.text, result.error)
    assert "read of 4 bytes at address 0x10000000: nothing is there" in qvm(
        arm, SMALL.format(3), words="unsupported reference abort", check=False).error


@pytest.mark.parametrize("text,said", [
    ("vdev gic version 2\n", "this host cannot give guests a GICv2; leave out `version 2`"),
    ("set exit-on-halt off\n", "on AArch64 a halted vCPU always gives its host CPU back"),
    ("unsupported register abort\n", "on AArch64 KVM itself answers accesses to registers that are not there"),
])
def test_what_the_host_lacks_is_said(arm, text, said):
    result = qvm(arm, SMALL.format(0) + text, check=False)
    assert result.status == 64 and said in result.error, result.error


@pytest.mark.parametrize("text,said", [
    ("vdev pl011 loc 0x1c0a0000 intr gic:31\n", "vdev gic has no line 31"),
    ("vdev pl011 loc 0x1c0a0000 intr gic:37\n", "interrupt gic:37 of vdev pl011 is already that of vdev pl011"),
    ("vdev pl011 loc 0x2f000000 intr gic:38\n", "vdev pl011 overlaps vdev gic"),
    ("cpu\n" * 9, "a VM has at most 8 vCPUs"),
    ("vdev gic msi 0x30000000\n", "'0x30000000' is not ADDRESS,FIRST,COUNT"),
    ("vdev gic msi 0x30000000,0x50,0x100\nvdev pl011 loc 0x1c0a0000 intr gic:100\n", "vdev gic has no line 100"),
    ("acpi load /payload/initrd\n", "a guest of AArch64 has a device tree and no ACPI tables"),
])
def test_mistakes_are_found_before_the_start(arm, text, said):
    result = qvm(arm, SMALL.format(0) + text, words="dryrun", check=False)
    assert result.status == 65 and said in result.error, result.error


IO = """
uname -srm
echo cpus=$(grep -c ^processor /proc/cpuinfo)
echo model=$(tr -d '\\0' < /proc/device-tree/model)
for d in /sys/bus/pci/devices/*; do
    echo pci=$(basename $d) $(cat $d/vendor) $(cat $d/device) $(cat $d/class) $(basename $(readlink $d/virtio*/driver) 2> /dev/null)
done
dd if=/dev/urandom of=/tmp/data bs=64k count=256 2> /dev/null
for turn in 1 2 3; do
    dd if=/tmp/data of=/dev/vda bs=64k oflag=direct 2> /dev/null
    echo 3 > /proc/sys/vm/drop_caches
    dd if=/dev/vda of=/tmp/back bs=64k count=256 iflag=direct 2> /dev/null
    cmp /tmp/data /tmp/back && echo same=$turn
done
sha256sum < /tmp/data | cut -c1-64 | sed 's/^/hash=/'
ip link set eth0 up; ip addr add 10.9.9.2/24 dev eth0
ping -c 3 -s 1400 10.9.9.1 | grep received
grep -E 'MSI|virtio' /proc/interrupts | sed 's/^/interrupt=/'
for d in /sys/bus/platform/devices/*.virtio_mmio; do
    echo mmio=$(basename $d) $(basename $(readlink $d/virtio*/driver) 2> /dev/null)
done
echo rtc=$(cat /sys/class/rtc/rtc0/name) $(cat /sys/class/rtc/rtc0/since_epoch)
"""
CLOCK = "vdev pl031\n\tloc 0x1c170000\n\tintr gic:36\n"
# As the documented system's text on direct mapping has it; only the host's path is another.
FRAGMENT = """    vdev virtio-blk
            loc 0x1c0d0000
            intr gic:41
            hostdev /dev/board/scratch
            name virtio-blk_qvm178
"""
BY_ADDRESS = FRAGMENT + """vdev virtio-net loc 0x1c0c0000 intr gic:40 tapdev bhtap name net0
vdev virtio-console loc 0x20000000 intr gic:42 hostdev >/tmp/t/hvc
vdev virtio-entropy loc 0x20010000 intr gic:44
"""
DEVICES = "vdev virtio-blk hostdev /dev/board/scratch name disk0\nvdev virtio-net tapdev bhtap name net0\nvdev virtio-console hostdev >/tmp/t/hvc\n"
TAP = "ip tuntap add dev bhtap mode tap; ip addr add 10.9.9.1/24 dev bhtap; ip link set bhtap up"


def check_io(arm, text):
    assert [f"same={n}" in text for n in (1, 2, 3)] == [True] * 3, text
    assert "3 packets received" in text
    assert arm.run("head -c 16M /dev/board/scratch | sha256sum").text.split()[0] == marked(text, "hash")


def test_linux_by_pci_with_an_its(arm):
    """A stock kernel with 2 processors; its devices in the file's order, each driven, each with messages; verified I/O."""
    before = f"{TAP}; head -c 16M /dev/zero > /dev/board/scratch"
    text = qvm(arm, linux(2, extra=CLOCK + DEVICES), IO + "echo by-hvc > /dev/hvc0\n", before=before, timeout=LINUX_SECONDS).text
    assert re.search(r"^Linux 6\.1.*aarch64", text, re.M), text
    assert marked(text, "cpus") == "2" and marked(text, "model") == "QVM-v8A"
    found = re.findall(r"^pci=(.*)$", text, re.M)
    assert found == ["0000:00:00.0 0x1c05 0x0002 0x060000", "0000:00:01.0 0x1af4 0x1042 0x018000 virtio_blk",
                     "0000:00:02.0 0x1af4 0x1041 0x028000 virtio_net", "0000:00:03.0 0x1af4 0x1043 0x078000 virtio_console"]
    assert len(re.findall(r"^interrupt=.*ITS-MSI.*virtio\d", text, re.M)) >= 8, text
    check_io(arm, text)
    assert "by-hvc" in arm.run("cat /tmp/t/hvc").text
    clock = re.search(r"^rtc=rtc-pl031.* (\d+)$", text, re.M)
    assert clock and abs(int(arm.run("date +%s").text) - int(clock.group(1))) < 100, text


def test_linux_finds_devices_at_fixed_places_by_the_tree(arm):
    """The documented fragment word for word, and its neighbours: bound by the device tree alone; verified I/O."""
    configuration = linux(2, extra=BY_ADDRESS + "set fdt-dump-file /tmp/t/all.dtb\n")
    text = qvm(arm, configuration, IO + "echo by-hvc > /dev/hvc0\nhead -c 64 /dev/hwrng | wc -c | sed 's/^/random=/'\n",
               before=f"{TAP}; head -c 16M /dev/zero > /dev/board/scratch", timeout=LINUX_SECONDS).text
    assert re.findall(r"^pci=(.*)$", text, re.M) == ["0000:00:00.0 0x1c05 0x0002 0x060000"]
    assert re.findall(r"^mmio=(.*)$", text, re.M) == ["1c0c0000.virtio_mmio virtio_net", "1c0d0000.virtio_mmio virtio_blk",
                                                      "20000000.virtio_mmio virtio_console", "20010000.virtio_mmio virtio_rng"]
    for line in (40, 41, 42):
        assert re.search(rf"^interrupt=.*GICv3 +{line} Level +virtio\d", text, re.M), text
    check_io(arm, text)
    assert marked(text, "random") == "64" and "by-hvc" in arm.run("cat /tmp/t/hvc").text
    done = subprocess.run(["dtc", "-I", "dtb", "-O", "dts"], input=arm.run("cat /tmp/t/all.dtb").stdout, capture_output=True, check=True)
    assert not done.stderr and b"virtio_mmio@1c0d0000 {" in done.stdout, done.stderr


def test_linux_by_pci_with_a_frame_ends_by_reboot(arm):
    """The same with a GICv2m frame, from a compressed kernel."""
    configuration = linux(1, "vmlinuz.gz", "vdev gic msi 0x30000000,0x50,0x100\n" + DEVICES)
    text = qvm(arm, configuration, IO + "reboot -f\n", before=f"{TAP}; head -c 16M /dev/zero > /dev/board/scratch", timeout=LINUX_SECONDS).text
    assert len(re.findall(r"^interrupt=.*MSI.*Edge.*virtio\d", text, re.M)) >= 6 and "ITS" not in text, text
    check_io(arm, text)


USER_TREE = """/dts-v1/;
/ {
    #address-cells = <2>; #size-cells = <2>;
    compatible = "acme,board";
    stub: anything { qvm,vdev = "gic"; #interrupt-cells = <3>; interrupt-controller; };
    gadget { compatible = "acme,gadget"; interrupt-parent = <&stub>; interrupts = <0 99 4>; };
};
"""
OVERLAY = """/dts-v1/;
/plugin/;
/ { fragment@0 { target-path = "/gadget"; __overlay__ { label = "by overlay"; }; }; };
"""


def dtc(text, *options):
    return subprocess.run(["dtc", "-q", *options, "-o", "-"], input=text, capture_output=True, check=True).stdout


def test_trees_of_the_user(arm):
    """A tree with a stub and an overlay; what the guest gets passes dtc, and the guest sees it. Meanwhile a dump."""
    arm.board.push(dtc(USER_TREE.encode(), "-O", "dtb"), "/tmp/t/user.dtb")
    arm.board.push(dtc(OVERLAY.encode(), "-O", "dtb"), "/tmp/t/more.dtbo")
    extra = "fdt load /tmp/t/user.dtb\nfdt load /tmp/t/more.dtbo\nset fdt-dump-file /tmp/t/all.dtb\ndump /tmp/t\n" + DEVICES.split("\n")[0] + "\n"
    script = "cat /proc/device-tree/gadget/label /proc/device-tree/compatible | tr '\\0' '\\n'; ls /proc/device-tree\n"
    arm.prepare(linux(2, extra=extra), cpio.archive({"test": "#!/bin/busybox sh\nbusybox --install -s /bin\n" + script +
                                                     "echo dump now; sleep 5; echo goes on\n"}))
    command = arm.board.popen(f"exec {arm.command(build='build')} < /dev/null")
    command.read_until("dump now", LINUX_SECONDS)
    arm.run("pkill -USR2 -x qvm")
    command.read_until("goes on", 60)
    assert command.wait(60).status == 0
    said = command.stdout.decode()
    assert "by overlay" in said and "acme,board" in said and "serial@1c090000" in said, said
    assert "FDT saved to '/tmp/t/all.dtb'" in command.stderr.decode()
    tree = arm.run("cat /tmp/t/all.dtb").stdout
    done = subprocess.run(["dtc", "-I", "dtb", "-O", "dts"], input=tree, capture_output=True, check=True)
    assert not done.stderr, done.stderr
    phandle = re.search(rb"interrupt-controller@2f000000 \{.*?phandle = <(0x\w+)>", done.stdout, re.S).group(1)
    assert b"interrupt-parent = <" + phandle + b">" in re.search(rb"gadget \{.*?\}", done.stdout, re.S).group(0)
    head = arm.run("head -c 4096 /tmp/t/qvm-guest-*.gcore").stdout
    assert head[:4] == b"\x7fELF" and head[18] == 183


def test_a_host_with_a_gicv2():
    """Another board: a GICv3 is refused with a sentence; with version 2 all processors and a stock guest run."""
    with board_with_payload(AARCH64_GIC2) as board:
        arm = clean(board)
        result = qvm(arm, SMALL.format(0), check=False)
        assert result.status == 64 and "this host cannot give guests a GICv3; `vdev gic version 2` may do" in result.error
        assert qvm(arm, SMALL.format(4), words="vdev gic version 2 " + "cpu " * 8).text == "T1bcdefgh\n"
        configuration = linux(2, extra="vdev gic version 2 msi 0x30000000,0x50,0x100\n" + DEVICES)
        text = qvm(arm, configuration, IO, before=f"{TAP}; head -c 16M /dev/zero > /dev/board/scratch", timeout=LINUX_SECONDS).text
        assert marked(text, "cpus") == "2" and len(re.findall(r"^interrupt=.*MSI.*Edge.*virtio\d", text, re.M)) >= 6, text
        check_io(arm, text)
