# SPDX-License-Identifier: Apache-2.0
"""What the VirtIO transport offers beyond what a stock guest takes by itself, seen with its own drivers. The tests of
devices_test.py run with packed rings, which Linux takes when they are offered; here are the others."""
import re

import pytest

from devices_test import NET, SCRATCH, TAP, TOOLS
from guests import marked

FEATURES = ("for v in /sys/bus/virtio/devices/*; do echo driver=$(basename $(readlink $v/driver)) "
            "$(cut -c35 $v/features) $(cut -c41 $v/features); done\n")
RING_PACKED, RING_RESET = 0, 1

# Random writes of all sizes on the first disk, read back and compared; the second disk has fio.
FIO = ("mount -o ro -t squashfs /dev/vdb /mnt && mount -t devtmpfs dev /mnt/dev && mount -t tmpfs tmpfs /mnt/tmp && "
       "mount -t proc proc /mnt/proc; "
       "chroot /mnt fio --name=v --filename=/dev/vda --rw=randrw --bsrange=512-65536 --size=16m --io_size=16m "
       "--direct=1 --ioengine=libaio --iodepth=16 --verify=crc32c --verify_fatal=1 --randrepeat=0 "
       "> /tmp/fio.log 2>&1; echo fio=$?; grep -iE 'err=|verify|bad' /tmp/fio.log\n")

# Ping, and 4 MiB of random bytes in each direction over TCP.
TRANSFER = ("ip link set eth0 up; ip addr add 10.9.9.2/24 dev eth0; ping -c 3 10.9.9.1; "
            "nc 10.9.9.1 7001 < /dev/null > /tmp/in; echo down=$(md5sum < /tmp/in); "
            "dd if=/dev/urandom of=/tmp/up bs=64k count=64 2>/dev/null; nc 10.9.9.1 7002 < /tmp/up; "
            "echo up=$(md5sum < /tmp/up)\n")
SERVERS = TAP + """
head -c 4194304 /dev/urandom > /tmp/down
setsid socat -u FILE:/tmp/down TCP-LISTEN:7001,reuseaddr > /dev/null 2>&1 < /dev/null &
setsid socat -u TCP-LISTEN:7002,reuseaddr OPEN:/tmp/up,creat,trunc > /dev/null 2>&1 < /dev/null &"""


def features(text):
    """Driver -> the bits it negotiated, by the order above."""
    return {name: bits.split() for name, bits in re.findall(r"^driver=(\S+) ([01] [01])", text, re.M)}


def transfer_is_whole(host, text):
    assert "3 packets received" in text
    assert marked(text, "down").split()[0] == host.run("md5sum < /tmp/down").text.split()[0]
    assert marked(text, "up").split()[0] == host.run("sleep 0.5; md5sum < /tmp/up").text.split()[0]


@pytest.mark.parametrize("packed", ["yes", "no"])
def test_disk_and_network_with_both_kinds_of_ring(host, packed):
    """Verified random I/O and TCP in both directions; the driver's features say which ring it was."""
    option = f" packed {packed}\n"
    text = host.linux(FEATURES + FIO + TRANSFER, cpus=2, timeout=240, before=SERVERS,
                      console="vdev virtio-console" + option,
                      extra="".join(part.replace("\n", option) for part in (SCRATCH, TOOLS, NET)) +
                      "vdev virtio-entropy" + option)
    found = features(text)
    assert set(found) == {"virtio_blk", "virtio_net", "virtio_console", "virtio_rng"}
    for name, bits in found.items():
        assert bits[RING_PACKED] == ("1" if packed == "yes" else "0"), name
    assert marked(text, "fio") == "0", text[-3000:]
    assert "err= 0" in text
    transfer_is_whole(host, text)


def test_interrupt_pins(host, machine):
    """pci=nomsi: five devices on four lines of the I/O APIC, level-triggered; data whole, the console too."""
    text = host.linux(FIO + TRANSFER + "cat /proc/interrupts", cpus=2,
                      cmdline="pci=nomsi", timeout=300, before=SERVERS, extra=SCRATCH + TOOLS + NET + "vdev virtio-entropy\n")
    assert "PCI-MSI" not in text
    lines = re.findall(r"^ *(\d+): +(\d+) +(\d+) +IO-APIC +(\d+)-fasteoi +(virtio\S.*)$", text, re.M)
    assert {line[3] for line in lines} == {"16", "17", "18", "19"}, text[-3000:]
    assert len(re.findall(r"virtio\d", " ".join(line[4] for line in lines))) == 5
    assert marked(text, "fio") == "0", text[-3000:]
    transfer_is_whole(host, text)
    assert "nobody cared" not in text


def test_disk_with_its_memory_access_off(host):
    """A guest that clears the Bus Master bit gets no answer, and all of them when it sets it again."""
    text = host.linux("D=$(readlink -f /sys/block/vda/device); D=${D%/virtio*}; "
                      "cmd() { printf \"\\\\x$1\" | dd of=$D/config bs=1 seek=4 conv=notrunc 2>/dev/null; }; "
                      "echo before=$(hexdump -n1 -s4 -e '1/1 \"%02x\"' $D/config); cmd 02; "
                      "dd if=/dev/vda of=/tmp/x bs=4k count=8 iflag=direct 2>/dev/null & sleep 3; echo size=$(wc -c < /tmp/x); "
                      "cmd 06; wait; echo size-then=$(wc -c < /tmp/x)", extra=SCRATCH)
    assert marked(text, "before") in ("06", "07")
    assert marked(text, "size") == "0"
    assert marked(text, "size-then") == "32768"


def test_discard_and_several_queues(host):
    """Linux sees the limits and a queue for each vCPU; what it discards is given back to the host's file system."""
    host.run("head -c 16777216 /dev/urandom > /tmp/sparse.img; sync")
    full = int(host.run("stat -c %b /tmp/sparse.img").text)
    text = host.linux("cd /sys/block/vda; echo queues=$(ls mq | wc -l); echo discard=$(cat queue/discard_max_bytes); "
                      "echo zeroes=$(cat queue/write_zeroes_max_bytes); blkdiscard -o 1048576 -l 8388608 /dev/vda; echo status=$?; "
                      "for i in 1 2 3 4; do dd if=/dev/vda of=/tmp/x$i bs=64k iflag=direct 2>/dev/null & done; wait; "
                      "echo sums=$(cat /tmp/x? | md5sum)", cpus=2,
                      extra="vdev virtio-blk hostdev /tmp/sparse.img queues 2\n")
    assert marked(text, "queues") == "2"
    assert marked(text, "discard") == marked(text, "zeroes") == str(256 << 20)
    assert marked(text, "status") == "0"
    assert int(host.run("stat -c %b /tmp/sparse.img").text) <= full - 8000000 // 512
    assert marked(text, "sums").split()[0] == host.run("cat /tmp/sparse.img{,,,} | md5sum").text.split()[0]
