# SPDX-License-Identifier: Apache-2.0
"""AArch64: qvm, cross-built, on a board of its own. discovery_test.py has the devices of a stock guest on both architectures."""
import json
import pathlib
import re
import struct
import subprocess

import jsonschema
import pytest

import arm as arm_boards
import foreign
from devices_test import TAP
from guests import marked
from lab import bindings, cpio, full_kernel, images
from lab.machines import AARCH64, AARCH64_GIC2

TOP = pathlib.Path(__file__).resolve().parents[2]

LINUX_SECONDS = 400  # about 30 on a machine that has nothing else to do
PL011 = "vdev pl011\n\tloc 0x1c090000\n\tintr gic:37\n\thostdev >-\n"
SMALL = "ram 0x80000000,2m\nload 0x80000000,/payload/small-{}.bin\n" + PL011
MOV_W9, MRS_X1_CURRENTEL = 0x52800009, 0xd5384241
BUTTON = "vdev pl061 loc 0x1c1d0000 intr gic:46\n"

pytestmark = pytest.mark.skipif(not (arm_boards.BUILD / "qvm").exists(), reason="there is no build-aarch64")


def qvm(arm, configuration, script=None, modules=None, **options):
    """Runs a VM to its end; what its console said is .text."""
    result = arm.qvm(configuration, archive(script, modules), build="build", **options)
    result.stdout = result.stdout.replace(b"\r\n", b"\n")
    return result


def archive(script, modules=None):
    """An initramfs to append."""
    return cpio.archive({"test": "#!/bin/busybox sh\nbusybox --install -s /bin\n" + script, **(modules or {})}) if script else b""


def linux(cpus=1, kernel="vmlinuz", extra=""):
    return ("ram 0x80000000,256m\n" + "cpu\n" * cpus + f"load /payload/{kernel}\ninitrd load /tmp/t/initrd\n"
            'cmdline "console=ttyAMA0 quiet panic=-1"\n' + PL011 + extra)


@pytest.mark.parametrize("mode,words,status,said", [
    (0, "", 0, "T1\n"), (1, "", 0, "T1\n"), (2, "", 0, "T1A\n"), (2, "unsupported instruction abort", 5, "T1"), (3, "", 0, "T1O\n"),
    (3, "unsupported reference fail", 0, "T1A\n"), (3, "unsupported reference abort", 5, "T1"),
    (4, "cpu cpu cpu cpu cpu cpu cpu cpu", 0, "T1bcdefgh\n"), (4, "", 0, "T1\n"), (5, "vdev wdt-sp805 intr gic:32 frequency 1000", 4, "T1"),
    (6, "vdev calls", 0, "T1HSCNN0FTV\n"), (6, "vdev calls any", 0, "T1HS-AN0FTV\n"),
])
def test_small_guests_and_their_ends(arm, mode, words, status, said):
    """Entry state, device tree, PSCI; accesses to nothing and those that cannot be decoded; 8 processors; the watchdog; calls that
    a vdev answers, and the state of the processor that makes them."""
    result = qvm(arm, SMALL.format(mode), words=words, check=False)
    assert (result.status, result.text) == (status, said), result.error
    if words == "unsupported reference abort":
        assert "read of 4 bytes at address 0x10000000: nothing is there" in result.error


def test_an_elf_program_starts_where_it_says(arm):
    assert qvm(arm, "ram 0x80000000,2m\nload /payload/small.elf\n" + PL011).text == "T1\n"


def test_verified_boot_starts_what_it_knows_and_patches(arm):
    """With one digit of a digest wrong the guest executes nothing; a patch and registers are what the guest says then. Of a kernel and
    its initrd only what differs is refused; of a kernel that is unpacked nothing could be compared."""
    guest = arm.run("cat /payload/small-0.bin").stdout

    def place(*code):
        """Of these instructions in the guest."""
        return 0x80000000 + guest.index(struct.pack(f"<{len(code)}I", *code))

    def digest(path):
        return arm.run(f"sha256sum {path}").text.split()[0]

    def verified(line, *files):
        return line + "vdev verified-boot" + "".join(f" digest {value},{path}" for value, path in files) + "\n"
    right = digest("/payload/small-0.bin")
    wrong = right[:-1] + f"{int(right[-1], 16) ^ 1:x}"
    known = verified(SMALL.format(0), (right, "/payload/small-0.bin"))
    assert qvm(arm, known).text == "T1\n"
    say = place(MOV_W9 | ord("T") << 5)
    assert qvm(arm, known + f"patch {say:x},{struct.pack('<I', MOV_W9 | ord('Y') << 5).hex()}\n").text == "Y1\n"
    # Behind what it says of its tree; x20 is where it says it.
    assert qvm(arm, known + f"register pc,{place(MRS_X1_CURRENTEL):x} register x20,1c090000\n").text == "1\n"
    for words, said in (
            (verified(SMALL.format(0), (wrong, "/payload/small-0.bin")), "'/payload/small-0.bin' has another SHA-256 digest"),
            (verified(linux(), (digest("/payload/vmlinuz"), "/payload/vmlinuz"), (wrong, "/tmp/t/initrd")), "'/tmp/t/initrd' has another"),
            (verified(linux(kernel="full.gz").replace("initrd load /tmp/t/initrd\n", ""), (digest("/payload/full.gz"), "/payload/full.gz")),
             "no byte of '/payload/full.gz' lies in the guest's memory")):
        result = qvm(arm, words, check=False)
        assert (result.status, result.text) == (64, "") and said in result.error and result.error.count("error:") == 1, result.error


def test_the_power_button_is_pressed_until_it_was_seen(arm):
    """SIGTERM: a guest without an operating system sees the line rise, stay and fall. Without a button the VM ends."""
    arm.prepare(SMALL.format(7) + BUTTON)
    command = arm.board.popen(f"exec {arm.command(build='build')} < /dev/null")
    command.read_until("W", 60)
    arm.run("pkill -TERM -x qvm")
    result = command.wait(60)
    assert (result.status, result.text) == (0, "T1WPHR\n"), result.error
    arm.prepare(SMALL.format(5))  # sleeps
    command = arm.board.popen(f"exec {arm.command(build='build')} < /dev/null")
    command.read_until("T1", 60)
    arm.run("pkill -TERM -x qvm")
    assert command.wait(60).status == 3


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
    ("vdev calls own\n", "calls of the architecture (0x80000000 to 0x8000ffff) and of PSCI"),
])
def test_mistakes_are_found_before_the_start(arm, text, said):
    result = qvm(arm, SMALL.format(0) + text, words="dryrun", check=False)
    assert result.status == 65 and said in result.error, result.error


ALARM = """readl 0x1c170000
irq_intercept_in gic
writel 0x1c170010 1
writel 0x1c170004 0x65920085
clock_step 5000000000
writel 0x1c17001c 1
"""
REQUEST = """x-virtio-start DEV 0xffffffffffffffff 16
x-queue-add DEV 0 in:64
x-queue-kick DEV 0
x-queue-used DEV 0
"""


def test_vdevs_without_a_vm(arm):
    """vdev-test: an alarm of the clock in virtual time, the same bytes when it is replayed; random bytes by PCI and in memory; calls of
    the host that fail; what this architecture lacks is said. vdev-fuzz: every vdev that is only Arm's, and one by each transport."""
    def bench(text, words, options=""):
        arm.board.push(text.encode(), "/tmp/t/script")
        return arm.run(f"cd /payload/build; ./vdev-test --vdev-dir vdevs --script /tmp/t/script {options} vdevs/vdev-{words}").text
    clock = "pl031.so intr gic:36"
    assert bench(ALARM, clock, "--trace /tmp/t/trace") == (
        "OK 0x0000000065920080\n" + 3 * "OK\n" + "IRQ raise 36\nOK 5000000000\nIRQ lower 36\nOK\n")
    arm.run("cd /payload/build; ./vdev-test --vdev-dir vdevs --replay /tmp/t/trace")
    said = [bench(REQUEST.replace("DEV", dev), words).splitlines() for dev, words in
            (("1", "virtio-entropy.so"), ("32", "virtio-entropy.so loc 0x1c0e0000 intr gic:44"))]
    for _, chain, _, used in said:
        assert used.split()[:3] == ["OK", chain.split()[1], "64"] and len(set(used.split()[3])) > 8, said
    assert bench("x-fail getrandom 1 EIO\n" + REQUEST.replace("DEV", "1"), "virtio-entropy.so").splitlines()[-1] != said[0][-1]
    assert "FAIL on AArch64 reads cannot be watched" in bench("x-flip 0x100000 4\n", clock)
    for words in ("pl011.so intr gic:37 hostdev '>/dev/null'", clock, "pl061.so intr gic:46", "wdt-sp805.so intr gic:32", "virtio-entropy.so",
                  "virtio-entropy.so loc 0x1c0e0000 intr gic:44"):
        assert "30 runs" in arm.run(f"cd /payload/build; ./vdev-fuzz --vdev-dir vdevs --quiet --runs 30 --crashes /tmp/t vdevs/vdev-{words}").text


def test_files_of_other_people(arm):
    """Read with success, or with what is not supported, line by line (tests/foreign)."""
    foreign.check("aarch64", arm.board, "/payload/build/qvm")


def test_dryrun_prints_the_device_tree(arm):
    """As source of the same tree, and the same in the JSON document."""
    arm.prepare(SMALL.format(0) + BUTTON + "vdev virtio-entropy loc 0x1c0e0000 intr gic:44\nset fdt-dump-file /tmp/t/tree.dtb\n")
    text = arm.run(f"{arm.command('dryrun', 'build')}").text
    source = text[text.index("/dts-v1/;"):]
    found = json.loads(arm.run(arm.command("dryrun", "build").replace("/qvm ", "/qvm --format=json ")).text)
    jsonschema.validate(found, json.loads((TOP / "docs/schema/qvm-dryrun.schema.json").read_text()))
    assert found["machine"]["device_tree"] == source and not found["machine"]["acpi_devices"]
    assert decompiled(dtc(source.encode(), "-I", "dts", "-O", "dtb")) == decompiled(arm.run("cat /tmp/t/tree.dtb").stdout)
    for part in ('compatible = "gpio-keys";', "virtio_mmio@1c0e0000 {", 'model = "QVM-v8A";', "linux,code = <0x74>;"):
        assert part in source, source


@pytest.mark.parametrize("gic", ["", "vdev gic msi 0x30000000,0x50,0x100\n", "vdev gic version 2\n",
                                 "vdev gic version 2 msi 0x30000000,0x50,0x100\n"], ids=["its", "frame", "2", "2-frame"])
def test_trees_follow_the_kernels_bindings(arm, tmp_path, gic):
    """Every device, interrupt controller and memory of more than one kind: dt-validate has nothing to say."""
    arm.prepare("ram 0x80000000,16m\nram 0x100000000,16m\nrom 0x60000000,64k\ncpu cpu cpu\nload /payload/small-0.bin\n" + gic + PL011 + BUTTON +
                'cmdline "console=ttyAMA0"\nvdev pl031 intr gic:36\nvdev wdt-sp805 intr gic:32\nvdev shmem loc 0x1c050000 intr gic:38\n'
                "vdev virtio-entropy loc 0x1c0e0000 intr gic:44\nvdev virtio-entropy\nset fdt-dump-file /tmp/t/tree.dtb\n")
    arm.run(arm.command("dryrun", "build"))
    (tmp_path / "tree.dtb").write_bytes(arm.run("cat /tmp/t/tree.dtb").stdout)
    done = subprocess.run(["dt-validate", "--show-unmatched", "--schema", bindings.schema(), tmp_path / "tree.dtb"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr


def test_the_picture_has_the_interrupt_controller(arm, tmp_path):
    """With a line in the file and without one: `gic` has no place there then."""
    for line in ("", "vdev gic msi 0x30000000,0x50,0x100\n"):
        arm.prepare(SMALL.format(0) + BUTTON + line)
        said = arm.run(arm.command("dryrun", "build").replace("/qvm ", "/qvm --format=json ")).text
        (tmp_path / "document").write_text(said)
        (tmp_path / "qvm").write_text(f"#!/bin/sh\ncat {tmp_path}/document\n")
        (tmp_path / "qvm").chmod(0o755)
        drawn = subprocess.run([TOP / "tools/qvm-map", "--qvm", tmp_path / "qvm", "x"], capture_output=True, text=True, check=True).stdout
        cards = drawn[drawn.index(">gic<"):drawn.index(">pl011<")]
        assert "mem 0x2f000000" in cards and ("mem 0x30000000" in cards) == bool(line), cards


def decompiled(tree):
    """The source of a tree of which dtc has nothing to say."""
    # A GPIO block that gives interrupts has no addresses in its binding; dtc wanted them until version 1.6.1.
    done = subprocess.run(["dtc", "-W", "no-interrupt_provider", "-I", "dtb", "-O", "dts"], input=tree, capture_output=True, check=True)
    assert not done.stderr, done.stderr
    return done.stdout.decode()


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
# A stock kernel with all drivers. Its power button ends it.
SCRIPT = """echo cpus=$(nproc)
cat /proc/device-tree/gadget/label /proc/device-tree/compatible | tr '\\0' '\\n'; ls /proc/device-tree
grep -E 'MSI|pl061' /proc/interrupts | sed 's/^/interrupt=/'
echo rtc=$(cat /sys/class/rtc/rtc0/name) $(cat /sys/class/rtc/rtc0/since_epoch)
dd if=/dev/urandom of=/tmp/d bs=64k count=16 2> /dev/null; dd if=/tmp/d of=/dev/vda bs=64k oflag=direct 2> /dev/null
echo hash=$(sha256sum < /tmp/d)
echo dump now; sleep 5; echo goes on
exec 5< /dev/input/event0; echo listens=$(cat /sys/class/input/event0/device/name)
dd bs=24 count=4 <&5 2> /dev/null | hexdump -v -e '12/2 "%u " "\\n"' | awk '{print "key=" $9, $10, $11}'
"""


def dtc(text, *options):
    return subprocess.run(["dtc", "-q", *options, "-o", "-"], input=text, capture_output=True, check=True).stdout


def test_linux_with_trees_of_the_user_ends_by_its_power_button(arm):
    """8 processors, a compressed kernel with all drivers, messages by a GICv2m frame; a tree with a stub and an overlay, which pass dtc
    and which the guest sees; meanwhile a dump; at the end SIGTERM is a key that the guest's own driver reports."""
    arm.board.push(dtc(USER_TREE.encode(), "-O", "dtb"), "/tmp/t/user.dtb")
    arm.board.push(dtc(OVERLAY.encode(), "-O", "dtb"), "/tmp/t/more.dtbo")
    extra = ("fdt load /tmp/t/user.dtb\nload /tmp/t/more.dtbo\nset fdt-dump-file /tmp/t/all.dtb\ndump /tmp/t\n" + BUTTON +
             "vdev gic msi 0x30000000,0x50,0x100\nvdev pl031\n\tloc 0x1c170000\n\tintr gic:36\n"
             "vdev virtio-blk hostdev /dev/board/scratch\n")
    arm.prepare(linux(8, "full.gz", extra), archive(SCRIPT, full_kernel.module_files(["virtio_blk", "evdev", "gpio_keys"], AARCH64)))
    command = arm.board.popen(f"exec {arm.command(build='build')} < /dev/null")
    command.read_until("dump now", LINUX_SECONDS)
    arm.run("pkill -USR2 -x qvm")
    command.read_until("listens=", 120)
    arm.run("pkill -TERM -x qvm")
    assert command.wait(120).status == 0
    said, errors = command.stdout.decode().replace("\r", ""), command.stderr.decode()
    assert marked(said, "cpus") == "8" and "goes on" in said
    assert "by overlay" in said and "acme,board" in said and "serial@1c090000" in said, said
    assert len(re.findall(r"^interrupt=.*MSI.*Edge.*virtio0", said, re.M)) >= 2 and "ITS" not in said, said
    assert marked(said, "hash").split()[0] == arm.run("head -c 1M /dev/board/scratch | sha256sum").text.split()[0]
    clock = re.search(r"^rtc=rtc-pl031.* (\d+)$", said, re.M)
    assert clock and abs(int(arm.run("date +%s").text) - int(clock.group(1))) < 200, said
    assert re.findall(r"^key=(.*)$", said, re.M) == ["1 116 1", "0 0 0", "1 116 0", "0 0 0"], said
    assert "power button: the guest is asked to shut down" in errors and "FDT saved to '/tmp/t/all.dtb'" in errors
    tree = decompiled(arm.run("cat /tmp/t/all.dtb").stdout)
    phandle = re.search(r"interrupt-controller@2f000000 \{.*?phandle = <(0x\w+)>", tree, re.S).group(1)
    assert f"interrupt-parent = <{phandle}>" in re.search(r"gadget \{.*?\}", tree, re.S).group(0)
    head = arm.run("head -c 4096 /tmp/t/qvm-guest-*.gcore").stdout
    assert head[:4] == b"\x7fELF" and head[18] == 183


def test_debians_newer_kernel(arm):
    """Linux 6.12 with modules of its own: processors, serial port and disk."""
    script = "echo release=$(uname -r); echo cpus=$(nproc); echo hash=$(dd if=/dev/vda bs=64k count=16 2> /dev/null | sha256sum)"
    arm.board.push(pathlib.Path(images.newer_kernel(AARCH64)).read_bytes(), "/tmp/t/newer")
    arm.run("dd if=/dev/urandom of=/dev/board/scratch bs=64k count=16 2> /dev/null")
    arm.prepare(linux(2, "vmlinuz", "vdev virtio-blk hostdev /dev/board/scratch\n").replace("/payload/vmlinuz", "/tmp/t/newer"),
                archive(script, images.newer_kernel_modules(AARCH64)))
    said = arm.run(f"{arm.command(build='build')} < /dev/null", timeout=LINUX_SECONDS).text.replace("\r", "")
    assert marked(said, "release").startswith("6.12.") and marked(said, "cpus") == "2"
    assert marked(said, "hash").split()[0] == arm.run("head -c 1M /dev/board/scratch | sha256sum").text.split()[0]


# U-Boot's code, and a place where it looks for its settings and finds none; RAM and a port where QEMU's virt machine has them.
U_BOOT = ("ram 0x40000000,256m\nrom 0,2m\nrom 0x4000000,256k\nload 0,/payload/u-boot.bin\n"
          "vdev pl011 loc 0x9000000 intr gic:33 hostdev >-\nvdev virtio-blk hostdev /dev/board/scratch\n")
BOOT_DISK = """printf ',128M,L,*\\n' | sfdisk -q --wipe always /dev/board/scratch
real=$(readlink -f /dev/board/scratch); partx -u $real 2> /dev/null || partx -a $real; part=$(lsblk -nrpo NAME $real | sed -n 2p)
mkfs.ext4 -q -F $part; mkdir -p /tmp/t/m; mount $part /tmp/t/m; mkdir /tmp/t/m/extlinux; cp /payload/vmlinuz /tmp/t/initrd /tmp/t/m/
printf 'default it\\nlabel it\\nkernel /vmlinuz\\ninitrd /initrd\\nappend console=ttyAMA0 quiet panic=-1 by=u-boot\\n' > /tmp/t/m/extlinux/extlinux.conf
umount /tmp/t/m
"""


def test_u_boot_starts_linux_from_a_disk(arm):
    """Debian's own, unmodified: it finds the port and the disk by our tree and by PCI, reads the kernel from a file system, and hands
    the tree on."""
    arm.prepare(U_BOOT, archive("cat /proc/cmdline; echo disk=$(cat /sys/block/vda/size) model=$(tr -d '\\0' < /proc/device-tree/model)\n"))
    arm.run(BOOT_DISK, timeout=120)
    text = arm.judge(arm.run(f"exec {arm.command(build='build')} < /dev/null", timeout=LINUX_SECONDS, check=False)).text.replace("\r", "")
    assert "U-Boot 2023" in text and "1c05 VirtIO Block Device" in text and "by=u-boot" in text, text
    assert marked(text, "disk") == f"{(4 << 30) // 512} model=QVM-v8A"


IO = """echo cpus=$(grep -c ^processor /proc/cpuinfo)
dd if=/dev/urandom of=/tmp/d bs=64k count=64 2> /dev/null; dd if=/tmp/d of=/dev/vda bs=64k oflag=direct 2> /dev/null
echo hash=$(sha256sum < /tmp/d); echo back=$(dd if=/dev/vda bs=64k count=64 iflag=direct 2> /dev/null | sha256sum)
ip link set eth0 up; ip addr add 10.9.9.2/24 dev eth0; ping -c 3 -s 1400 10.9.9.1 | grep received
grep MSI /proc/interrupts | sed 's/^/interrupt=/'; echo by-hvc > /dev/hvc0
"""


def test_a_host_with_a_gicv2():
    """Another board: a GICv3 is refused with a sentence; with version 2 all processors and a stock guest run."""
    with arm_boards.board(AARCH64_GIC2) as board:
        arm = arm_boards.clean(board)
        result = qvm(arm, SMALL.format(0), check=False)
        assert result.status == 64 and "this host cannot give guests a GICv3; `vdev gic version 2` may do" in result.error
        assert qvm(arm, SMALL.format(4), words="vdev gic version 2 " + "cpu " * 8).text == "T1bcdefgh\n"
        devices = ("vdev virtio-blk hostdev /dev/board/scratch\nvdev virtio-net tapdev bh0\nvdev virtio-console hostdev >/tmp/t/hvc\n")
        configuration = linux(2, extra="vdev gic version 2 msi 0x30000000,0x50,0x100\n" + devices)
        text = qvm(arm, configuration, IO, before=TAP, timeout=LINUX_SECONDS).text
        assert marked(text, "cpus") == "2" and len(re.findall(r"^interrupt=.*MSI.*Edge.*virtio\d", text, re.M)) >= 6, text
        assert "3 packets received" in text and "by-hvc" in arm.run("cat /tmp/t/hvc").text
        written = arm.run("head -c 4M /dev/board/scratch | sha256sum").text.split()[0]
        assert marked(text, "hash").split()[0] == marked(text, "back").split()[0] == written
