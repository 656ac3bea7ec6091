# SPDX-License-Identifier: Apache-2.0
"""Every way in which a guest finds its devices, on both architectures: PCI; places in memory that ACPI or a device tree tells
of; places in memory of which the guest is told nothing. One configuration, one disk, the same vdevs, the same guest; a boot for
each way serves the tests of all five devices."""
import hashlib
import pathlib
import re

import pytest

import guests
from guests import marked
from lab import cpio, images
from lab.machines import AARCH64, X86_64
from virtio_test import FIO, SERVERS, TRANSFER

SECONDS = 400  # a boot with all that is done in it; about 60 on a machine that has nothing else to do

# As the documented system's text on discovery has them; only the host's path is another.
BY_PCI = """    vdev virtio-blk
            hostdev /dev/board/scratch
            name virtio-blk_qvm178
"""
BY_ADDRESS = """    vdev virtio-blk
            loc 0x1c0d0000
            intr gic:41
            hostdev /dev/board/scratch
            name virtio-blk_qvm178
"""
TOOLS = "vdev virtio-blk hostdev </payload/tools.squashfs"
OTHERS = {"net": "vdev virtio-net tapdev bh0 mac 02:00:00:00:00:01", "entropy": "vdev virtio-entropy",
          "input": "vdev virtio-input hostdev /tmp/t/keys.evemu", "console": "vdev virtio-console"}
PLACES = {"blk": (0x1c0d0000, 41), "tools": (0x1c0b0000, 39), "net": (0x1c0c0000, 40), "console": (0x20000000, 42),
          "entropy": (0x1c0e0000, 44), "input": (0x1c0f0000, 45)}
LOW_LINES = {"blk": 16, "net": 17, "console": 18, "entropy": 19, "input": 20, "tools": 21}  # of an ioapic with 24 pins
# An ioapic of the file's own with the name and the lines of the documented system's fragment.
GIC = guests.PLATFORM.replace("vdev ioapic intr apic name myioapic", "vdev ioapic intr apic accel off name gic pins 48").replace(
    "myioapic", "gic")

DRIVERS = {"blk": "virtio_blk", "net": "virtio_net", "console": "virtio_console", "entropy": "virtio_rng", "input": "virtio_input"}
IDS = {"blk": "1042 018000", "net": "1041 028000", "console": "1043 078000", "entropy": "1044 00ff00", "input": "1052 098000"}
# (architecture, way): the controller's name and the lines by device.
FIXED_LINES = {name: line for name, (_, line) in PLACES.items()}
WAYS = {("x86_64", "pci"): ("myioapic", LOW_LINES), ("x86_64", "acpi"): ("myioapic", LOW_LINES), ("x86_64", "acpi-gic"): ("gic", FIXED_LINES),
        ("x86_64", "nothing"): ("myioapic", LOW_LINES), ("x86_64", "nothing-split"): ("myioapic", LOW_LINES),
        ("aarch64", "pci"): ("gic", FIXED_LINES), ("aarch64", "fdt"): ("gic", FIXED_LINES), ("aarch64", "nothing"): ("gic", FIXED_LINES)}

# Half a second in the sample; a guest that is to listen first has five.
KEYS = (guests.TOP / "vdevs/virtio-input/hello.evemu").read_text()
LATER_KEYS = re.sub(r"^E: 0\.(?!000000)", "E: 5.", KEYS, flags=re.M)
TYPED = "typed by hand"

BOUND = """for v in /sys/bus/virtio/devices/*; do p=$(readlink -f $v/..)
    echo bound=$(basename $(readlink $v/driver)) $(basename $p) $(cut -c35 $v/features) $(cut -c3- $p/device 2> /dev/null) $(cut -c3- $p/class 2> /dev/null)
done
echo machine=$(uname -m) cpus=$(nproc) model=$(cat /proc/device-tree/model 2> /dev/null | tr -d '\\0')
"""
CONSOLE = "echo type:; read -r line; echo console=$line\n"
# 2000 requests of the disk, and as long nothing, for whoever counts outside.
COUNTED = "".join(f"echo stop{i}; read -r x; {step}\n" for i, step in enumerate((
    ":", ":", "dd if=/dev/vda of=/dev/null bs=4k count=2000 iflag=direct 2> /dev/null"))) + "echo stop3; read -r x\n"
DISK = ("dd if=/dev/urandom of=/tmp/d bs=64k count=16 2> /dev/null; dd if=/tmp/d of=/dev/vda bs=64k oflag=direct 2> /dev/null; "
        "echo blk=$(sha256sum < /tmp/d)\n")
ENTROPY = "echo rng=$(cat /sys/class/misc/hw_random/rng_current) $(head -c 4096 /dev/hwrng | sort -u | wc -c)\n"
INPUT = """insmod /modules/evdev.ko; insmod /modules/virtio_input.ko
for node in /sys/class/input/event*; do
    case "$(cat $node/device/phys)" in virtio*) exec 5< /dev/input/${node##*/}; echo keyboard=$(cat $node/device/name);; esac
done
dd bs=24 count=12 <&5 2> /dev/null | hexdump -v -e '12/2 "%u " "\\n"' | awk '{print "input=" $9, $10, $11}'
"""
REBIND = """D=$(basename $(dirname $(dirname $(dirname $(readlink -f /sys/block/vda))))); cd /sys/bus/platform/drivers/virtio-mmio
for i in 1 2 3; do echo $D > unbind; echo $D > bind; done; echo again=$(dd if=/dev/vda bs=64k count=64 2> /dev/null | wc -c); cd /
"""


def vdevs(arch, way):
    """The vdevs of the file, the disk first. By MMIO each with its place and a line of its own."""
    pic, lines = WAYS[arch, way]
    order = {"blk": None, **({} if way.startswith("nothing") else {"tools": TOOLS}), **OTHERS}
    if way == "pci":
        return BY_PCI + "".join(text + "\n" for text in order.values() if text)
    return BY_ADDRESS.replace("gic:41", f"{pic}:{lines['blk']}") + "".join(
        f"{text} loc {PLACES[name][0]:#x} intr {pic}:{lines[name]}\n" for name, text in order.items() if text)


def configuration(arch, way):
    """The whole file."""
    platform = ("" if arch == "aarch64" else GIC if way == "acpi-gic" else guests.SPLIT if way == "nothing-split"
                else guests.PLATFORM if way == "nothing" else guests.MACHINES[guests.machine])
    if way.startswith("nothing"):
        start = "ram 0x80000000,2m\n" if arch == "aarch64" else "ram 16m\n"
        return f"{start}load {'0x80000000' if arch == 'aarch64' else '0x8000'},/payload/mmio.bin\n{platform}{vdevs(arch, way)}"
    start = "ram 0x80000000,256m\n" if arch == "aarch64" else "ram 256m\n"
    return (f'{start}cpu\ncpu\nload /payload/vmlinuz\ninitrd load /tmp/t/initrd\ncmdline "console=hvc0 quiet panic=-1"\n'
            f"{platform}{vdevs(arch, way)}" + ("set fdt-dump-file /tmp/t/tree\n" if arch == "aarch64" else ""))


def guest_script(arch, way):
    """What the guest runs; the modules that only this test needs come with it."""
    machine = AARCH64 if arch == "aarch64" else X86_64
    modules = {f"modules/{name}.ko": next(data for path, data in images.module_files([name], machine).items() if path.endswith(f"/{name}.ko"))
               for name in ("evdev", "virtio_input")}
    script = (CONSOLE + (COUNTED if (arch, way) == ("aarch64", "fdt") else "") + ENTROPY + INPUT + BOUND + FIO + TRANSFER +
              "umount /mnt/proc /mnt/tmp /mnt/dev; umount /mnt\n" + (REBIND if way != "pci" else "") + DISK +
              "cat /proc/interrupts; dmesg | grep -iE 'ACPI.*error|Firmware Bug|nobody cared|conflict'\n")
    return cpio.archive({"test": "#!/bin/busybox sh\nbusybox --install -s /bin\n" + script, **modules})


class Boot:
    """One guest's life, and what was found on the host after it."""

    def __init__(self, host, arch, way):
        self.arch, self.way = arch, way
        nothing = way.startswith("nothing")
        host.board.push((KEYS if nothing else LATER_KEYS).encode(), "/tmp/t/keys.evemu")
        host.prepare(configuration(arch, way), b"" if nothing else guest_script(arch, way))
        host.run(SERVERS)
        command = host.board.popen(f"exec {host.command(build='build' if arch == 'aarch64' else 'build-asan')}")
        command.read_until("told=nothing" if nothing else "type:", SECONDS)
        command.write(f"{TYPED}\n".encode())
        self.exits = []
        if (arch, way) == ("aarch64", "fdt"):
            for i in range(4):
                command.read_until(f"stop{i}", 120)
                self.exits.append(int(host.run("sleep 0.2; cat /sys/kernel/debug/kvm/$(pgrep -x qvm)-*/mmio_exit_user").text))
                command.write(b"\n")
        result = host.judge(command.wait(120 if nothing else SECONDS))
        self.text = result.text.replace("\r\n", "\n")
        self.bound = {}
        for driver, *more in re.findall(r"^bound=(\S+) (\S+) (\d) ?(.*)$", self.text, re.M):
            self.bound.setdefault(driver, more)  # the first disk, not the one with the tools
        self.disk = host.run(f"head -c {262144 if nothing else 1048576} /dev/board/scratch | sha256sum").text.split()[0]
        self.sent = "" if nothing else host.run("md5sum < /tmp/down; sleep 0.5; md5sum < /tmp/up").text
        self.tree = host.run("cat /tmp/t/tree").stdout if arch == "aarch64" and not nothing else b""


def check_blk(boot):
    if boot.way.startswith("nothing"):
        assert marked(boot.text, "blk") == "whole"
        expected = b"".join(bytes((i * 7 + i // 256 + n) & 0xff for i in range(4096)) for n in range(64))
        assert boot.disk == hashlib.sha256(expected).hexdigest()
        return
    assert marked(boot.text, "fio") == "0" and "err= 0" in boot.text, boot.text[-3000:]
    assert marked(boot.text, "blk").split()[0] == boot.disk
    if boot.way != "pci":
        assert marked(boot.text, "again") == str(64 << 16)


def check_net(boot):
    if boot.way.startswith("nothing"):
        assert marked(boot.text, "net") == "answered"
        return
    assert "3 packets received" in boot.text
    assert [marked(boot.text, way).split()[0] for way in ("down", "up")] == re.findall(r"^(\w+)", boot.sent, re.M)


def check_console(boot):
    assert marked(boot.text, "console") == TYPED


def check_entropy(boot):
    if boot.way.startswith("nothing"):
        assert marked(boot.text, "entropy") == "random"
        return
    source, count = marked(boot.text, "rng").split()
    assert source.startswith("virtio_rng") and int(count) > 4000


def check_input(boot):
    events = re.findall(r"^input=(.*)$", boot.text, re.M)
    if boot.way.startswith("nothing"):
        assert events == ["1 35 1"]
        return
    assert marked(boot.text, "keyboard") == "Recorded keyboard"
    assert events == [line for key in (35, 23, 28) for value in (1, 0) for line in (f"1 {key} {value}", "0 0 0")]


def check_place(boot, device):
    """It is where the file has it, is driven by Linux's own driver with packed rings, and interrupts as it should."""
    parent, packed, ids = boot.bound[DRIVERS[device]]
    number = list({"blk": 0, "tools": 0, **OTHERS}).index(device)
    line = WAYS[boot.arch, boot.way][1][device]
    assert packed == "1"
    if boot.way == "pci":
        assert (parent, ids) == (f"0000:00:{number + 1:02x}.0", IDS[device])
        kind = "PCI-MSI" if boot.arch == "x86_64" else "ITS-MSI"
    elif boot.way == "fdt":
        assert parent == f"{PLACES[device][0]:x}.virtio_mmio"
        kind = rf"GICv3 +{line} Level"
    else:
        assert parent == f"LNRO0005:{number:02x}"
        kind = rf"IO-APIC +{line}-fasteoi"
    virtio = number if boot.way != "fdt" else rf"\d"
    assert re.search(rf"^ *\d+: .*{kind} .*virtio{virtio}", boot.text, re.M), boot.text[-3000:]


CHECKS = {"blk": check_blk, "net": check_net, "console": check_console, "entropy": check_entropy, "input": check_input}


@pytest.fixture(scope="module")
def boots():
    """(architecture, way): Boot, or what went wrong."""
    return {}


def boot_of(request, boots, arch, way):
    """The guest is started for the first of its tests."""
    if (arch, way) not in boots:
        host = request.getfixturevalue("arm" if arch == "aarch64" else "host")
        try:
            boots[arch, way] = Boot(host, arch, way)
        except AssertionError as error:
            boots[arch, way] = error
    if isinstance(boots[arch, way], AssertionError):
        raise boots[arch, way]
    return boots[arch, way]


@pytest.mark.parametrize("device", list(CHECKS))
@pytest.mark.parametrize("arch,way", list(WAYS))
def test_a_device_is_found_and_driven(request, boots, arch, way, device):
    boot = boot_of(request, boots, arch, way)
    CHECKS[device](boot)
    if not way.startswith("nothing"):
        check_place(boot, device)
        assert marked(boot.text, "machine") == f"{arch} cpus=2 model={'QVM-v8A' if arch == 'aarch64' else ''}".strip()
        assert not re.search(r"^.*(ACPI.*[Ee]rror|Firmware Bug|nobody cared|conflict).*$", boot.text, re.M), boot.text[-3000:]


def test_exits_per_block_request_on_aarch64(request, boots):
    """By MMIO: a read of the interrupt status and its acknowledgement go to user space; the doorbell and the interrupt's end do not."""
    _, idle, start, end = boot_of(request, boots, "aarch64", "fdt").exits
    # The step with nothing in it has the same words on the console, whose interrupts may come a few more or a few less.
    requests = (end - start) - (start - idle)
    print(f"block by MMIO on the GIC: {requests / 2000:.3f} exits to user space a request")
    assert 0.95 * 2 * 2000 <= requests <= 2 * 2000 + 20
