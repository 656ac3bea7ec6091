# SPDX-License-Identifier: Apache-2.0
"""One guest image, one disk, the same vdevs, and every way a guest finds them on x86-64: PCI; places in memory that ACPI tells
of; places in memory of which the guest is told nothing."""
import hashlib
import re

import pytest

import guests
from devices_test import TAP
from guests import marked
from virtio_test import FIO, SERVERS, TRANSFER, transfer_is_whole

# Where the documented system's files have them.
PLACES = {"blk": 0x1c0d0000, "tools": 0x1c0b0000, "net": 0x1c0c0000, "console": 0x20000000, "entropy": 0x1c0e0000}
DRIVERS = {"blk": "virtio_blk", "tools": "virtio_blk", "net": "virtio_net", "console": "virtio_console", "entropy": "virtio_rng"}
VDEVS = {"blk": "vdev virtio-blk hostdev /dev/board/scratch name virtio-blk_qvm178",
         "tools": "vdev virtio-blk hostdev </payload/tools.squashfs",
         "net": "vdev virtio-net tapdev bh0 mac 02:00:00:00:00:01",
         "entropy": "vdev virtio-entropy", "console": "vdev virtio-console"}
# An ioapic of the file's own with the name and the lines of the documented system.
GIC = guests.PLATFORM.replace("vdev ioapic intr apic name myioapic", "vdev ioapic intr apic accel off name gic pins 48").replace(
    "myioapic", "gic")
LINES = {"myioapic": 16, "gic": 41}

BOUND = ("for v in /sys/bus/virtio/devices/*; do echo bound=$(basename $(readlink $v/driver)) "
         "$(basename $(dirname $(readlink -f $v))) $(cut -c35 $v/features); done\n"
         "cat /proc/interrupts\ndmesg | grep -iE 'ACPI.*error|Firmware Bug|nobody cared|conflict'\n"
         "echo rng=$(cat /sys/class/misc/hw_random/rng_current) $(head -c 4096 /dev/hwrng | sort -u | wc -c)\n")


def vdevs(way, pic):
    """The five vdevs, in order; by MMIO each with its place and a line of its own."""
    return "".join(f"{text} loc 0x{PLACES[name]:x} intr {pic}:{LINES[pic] + i}\n" if way == "mmio" else text + "\n"
                   for i, (name, text) in enumerate(VDEVS.items()))


@pytest.mark.parametrize("way,pic,platform", [("pci", "myioapic", guests.PLATFORM), ("mmio", "myioapic", guests.PLATFORM),
                                              ("mmio", "gic", GIC)], ids=["pci", "acpi-kernel", "acpi-split"])
def test_the_same_guest_by_every_transport(host, way, pic, platform):
    """Verified disk I/O, TCP both ways, random bytes, the console that says it; Linux binds its own drivers."""
    rebind = ("" if way == "pci" else "D=$(basename $(dirname $(dirname $(dirname $(readlink -f /sys/block/vda))))); "
              "cd /sys/bus/platform/drivers/virtio-mmio; for i in 1 2 3; do echo $D > unbind; echo $D > bind; done; "
              "echo again=$(dd if=/dev/vda bs=64k count=64 2>/dev/null | wc -c)\n")
    configuration, archive = guests.linux(BOUND + FIO + TRANSFER + "umount /mnt/proc /mnt/tmp /mnt/dev; umount /mnt\n" + rebind,
                                          cpus=2, console=vdevs(way, pic), platform=platform)
    text = host.qvm(configuration, archive, before=SERVERS, timeout=300).text.replace("\r\n", "\n")
    bound = re.findall(r"^bound=(\S+) (\S+) (\d)", text, re.M)
    assert sorted(name for name, _, _ in bound) == sorted(DRIVERS.values()), text[-3000:]
    assert all(packed == "1" for _, _, packed in bound)
    if way == "mmio":
        assert [parent for _, parent, _ in bound] == [f"LNRO0005:0{i}" for i in range(5)]
        lines = re.findall(r"^ *\d+: .*IO-APIC +(\d+)-fasteoi +(virtio\d)", text, re.M)
        assert [int(line) for line, _ in lines] == list(range(LINES[pic], LINES[pic] + 5)), text[-3000:]
        assert marked(text, "again") == str(64 << 16)
    assert marked(text, "rng").startswith("virtio_rng") and int(marked(text, "rng").split()[1]) > 4000
    assert marked(text, "fio") == "0", text[-3000:]
    transfer_is_whole(host, text)
    assert not re.search(r"^.*(ACPI.*[Ee]rror|Firmware Bug|nobody cared|conflict).*$", text, re.M), text[-3000:]


@pytest.mark.parametrize("machine", ["kernel", "split"], indirect=True)
def test_a_guest_that_is_told_nothing(host, machine):
    """A guest without an operating system finds the four devices where it knows them, and is interrupted by their lines."""
    platform = guests.MACHINES[machine]
    lines = {"blk": 16, "net": 17, "console": 18, "entropy": 19}
    configuration = "ram 16m\nload 0x8000,/payload/mmio.bin\n" + platform + "".join(
        f"{VDEVS[name]} loc 0x{PLACES[name]:x} intr myioapic:{line}\n" for name, line in lines.items())
    result = host.qvm(configuration, before=TAP, timeout=120)
    assert result.text.replace("\r\n", "\n") == "told nothing\ndisk=whole\nentropy=random\nnetwork=answered\n"
    expected = b"".join(bytes((i * 7 + i // 256 + n) & 0xff for i in range(4096)) for n in range(64))
    found = host.run("head -c 262144 /dev/board/scratch | sha256sum").text.split()[0]
    assert found == hashlib.sha256(expected).hexdigest()

