# SPDX-License-Identifier: Apache-2.0
"""PCI functions as a stock guest's tools see them, and vdev shmem: the function whose memory programs of the guest share."""
import re
import subprocess

import pytest

import guests
from devices_test import NET, SCRATCH, TAP, TOOLS
from guests import marked

MOUNT = ("mount -o ro -t squashfs $(for d in /dev/vd?; do [ $(cat /sys/block/${d#/dev/}/ro) = 1 ] && echo $d; done) /mnt; "
         "mount -t proc proc /mnt/proc; mount -t sysfs sys /mnt/sys\n")

# Device 5: network, disk, shmem and entropy as its functions; device 6 is not in order; nobody chooses device 1.
FUNCTIONS = ("reserve loc pci:0:1\n" + TOOLS + SCRATCH.replace("\n", " loc pci:0:5.1\n") + "vdev shmem loc pci:0:5.2\n"
             "vdev virtio-entropy loc pci:0:5.3\n" + NET.replace("\n", " loc pci:0:5.0\n"))


def test_functions_of_a_device(host):
    """lspci -vvv, setpci on every register, remove and rescan; each function's pin has the line that its number asks for."""
    lines = "cat /proc/interrupts\n"
    script = (MOUNT + "chroot /mnt lspci -vvv; chroot /mnt lspci -n\n"
              "head -c 999424 /dev/urandom > /tmp/d; D=$(for d in /dev/vd?; do [ $(cat /sys/block/${d#/dev/}/ro) = 0 ] && echo $d; done)\n"
              "dd if=/tmp/d of=$D oflag=direct bs=4k 2>/dev/null; dd if=$D iflag=direct bs=4k count=244 2>/dev/null | "
              "cmp - /tmp/d && echo disk=whole; head -c 512 /dev/hwrng | wc -c | sed s/^/random=/\n"
              "ip link set eth0 up; ip addr add 10.9.9.2/24 dev eth0; ping -c 2 10.9.9.1 | grep received\n" + lines +
              "P=/sys/bus/pci/devices; echo 1 > $P/0000:00:05.3/remove; "
              "chroot /mnt setpci -A intel-conf1 -s 00:05.3 $(for r in $(seq 0 4 255); do printf '%x.l=ffffffff ' $r; done) "
              "$(for r in $(seq 0 255); do printf '%x.b=0 ' $r; done) $(for r in $(seq 64 2 255); do printf '%x.w=ffff ' $r; done)\n"
              "for i in 1 2 3; do echo 1 > $P/0000:00:05.1/remove; echo 1 > /sys/bus/pci/rescan; sleep 1; done\n"
              "D=$(for d in /dev/vd?; do [ $(cat /sys/block/${d#/dev/}/ro) = 0 ] && echo $d; done); "
              "dd if=$D bs=4k count=244 iflag=direct 2>/dev/null | cmp - /tmp/d && echo again=whole; "
              "head -c 512 /dev/hwrng | wc -c | sed s/^/random-again=/; ping -c 2 10.9.9.1 | grep received; chroot /mnt lspci -n\n")
    for option in ("", "pci=nomsi"):
        text = host.linux(script, extra=FUNCTIONS, before=TAP, timeout=240, cmdline=option)
        found = re.findall(r"^(00:\S+) (\S+): (\S+)", text, re.M)
        assert found[:7] == [("00:00.0", "0600", "1c05:0002"), ("00:02.0", "0180", "1af4:1042"), ("00:03.0", "0780", "1af4:1043"),
                             ("00:05.0", "0280", "1af4:1041"), ("00:05.1", "0180", "1af4:1042"), ("00:05.2", "0580", "1c05:0001"),
                             ("00:05.3", "00ff", "1af4:1044")], text[-3000:]
        for pin, function in zip("ABCD", ("05.0", "05.1", "05.2", "05.3")):
            section = re.search(rf"^00:{function} .*?(?=^\d\d:|\Z)", text, re.M | re.S).group(0)
            assert f"Interrupt: pin {pin} routed to IRQ" in section or option == "", section
            assert "Capabilities: [" in section and "<chain broken>" not in section and "!!!" not in section, section
        assert marked(text, "disk") == "whole" and marked(text, "again") == "whole", text[-3000:]
        assert marked(text, "random") == "512" and marked(text, "random-again") == "512"
        assert len(re.findall("2 packets received", text)) == 2
        assert ("00:05.3", "00ff", "1af4:1044") in found[7:]
        if option:
            routed = dict(re.findall(r"^ *\d+: +\d+ +IO-APIC +(\d+)-fasteoi +.*?(virtio\d)", text, re.M))
            # (device + pin) mod 4 of the four lines from 16 on.
            assert {"17", "18", "16"} <= set(routed), text[-3000:]


def client():
    path = guests.TOP / "build/guest-shmem"
    subprocess.run(["cc", "-O2", "-static", "-Wall", "-Wextra", "-Werror", guests.TOP / "tests/guests/linux/shmem.c", "-o", path],
                   check=True)
    return path.read_bytes()


@pytest.mark.parametrize("way", ["pci", "mmio"])
def test_two_clients_share_memory(host, way):
    """Two processes of a guest attach one region: what one writes the other reads, at once; notification, detach, and a
    hundred attachments more. By PCI, and at the documented system's place with a line of an ioapic named gic."""
    options = "create testing,16384 deny forbidden"
    if way == "pci":
        where, config = "$(head -1 $S/resource | cut -d' ' -f1)", "$S/config"
        platform, extra = guests.PLATFORM, f"vdev shmem {options}\n"
    else:
        where, config = "0x1c050000", "-"
        platform = guests.PLATFORM.replace("vdev ioapic intr apic name myioapic",
                                           "vdev ioapic intr apic accel off name gic pins 48").replace("myioapic", "gic")
        extra = f"vdev shmem loc 0x1c050000 intr gic:38 {options}\n"
    configuration, _ = guests.linux("", cpus=2, extra=extra, platform=platform)
    enable = "echo 1 > $S/enable; " if way == "pci" else ""
    script = f"S=/sys/bus/pci/devices/0000:00:01.0; {enable}/shmem {where} {config}; echo status=$?\n"
    archive = guests.cpio.archive({"test": "#!/bin/busybox sh\nbusybox --install -s /bin\n" + script, "shmem": client()})
    text = host.qvm(configuration, archive, timeout=150).text.replace("\r\n", "\n")
    vector = "(17|18|19|16)" if way == "pci" else "38"
    assert re.search(rf"^signature=QVMG2GSM vector={vector}\nstatus=5\nclients=3 indices=0,1 pages=4\ndata=whole$", text, re.M), text
    if way == "pci":
        assert "quiet=0\nasks=1\nnotified=00030001 then=00030000\nserved=0\n" in text, text
    else:
        assert "notified=00030001 then=00030000\n" in text, text
    assert "left=00010000 gone=ffffffff\nagain=whole\nstatus=0" in text, text
