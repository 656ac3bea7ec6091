# SPDX-License-Identifier: Apache-2.0
"""Our vdevs and the words that vdev-fuzz starts them with: for its tests, the soak, and the count of branches."""

import contextlib
import os
import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parent.parent

PICS = "vdev ioapic name ioapic vdev 8259 loc io:0x20 vdev 8259 loc io:0xa0".split()

# DISK is a file of 1 MiB, OUT and IN a file to write and one to read, TTY a terminal on which something was
# typed, FULL a pipe that takes nothing. The first words are what is fuzzed; with all of
# them the corpus runs when branches are counted.
WORDS = {
    "virtio-blk": ["hostdev DISK", "hostdev <DISK packed no queues 2 serial abc", "hostdev DISK dio enable threads 2 delayed 5",
                   "hostdev NOTHING delayed 1"],
    "virtio-net": ["tapdev tap0", "tapdev tap0 mac 02:00:00:00:00:01 packed no"],
    "virtio-console": ["hostdev >OUT", "hostdev <IN hostdev >OUT packed no", "hostdev <IN hostdev >OUT delayed", "hostdev TTY",
                       "hostdev <IN hostdev >FULL"],
    "virtio-entropy": ["", "packed no delayed"],
    "virtio-input": ["hostdev EVENTS"],
    "progress": ["hostdev >OUT"],
    "shmem": ["create a,8192 deny b"],
    "ser8250": ["intr ioapic:4 hostdev >OUT", "loc 0x2f8 intr ioapic:3 hostdev <IN hostdev >OUT batch 100",
                "intr ioapic:4 hostdev <IN hostdev >OUT delayed", "intr ioapic:4 hostdev TTY"],
    "mc146818": ["intr ioapic:8", "reg 0x10,0x55 reg 0x20,1"],
    "timer8254": ["intr ioapic:0 accel off", "intr ioapic:0", ""],
    "hpet": ["intr ioapic:0,ioapic:8,ioapic:11", "intr ioapic:0,ioapic:8,ioapic:11 frequency 10000000 legacy-free"],
    "pckeyboard": ["", "loc 0x60"],
    "wdt-ib700": ["", "action terminate"],
    "pci-dummy": ["vendor 8086 device 2918",
                  "loc pci:0:31.0 vendor 8086 device 2918 class 060100 subsystem-vendor 1 subsystem-device 2 revision 3"],
    "trace": ["loc 0xfa000000", "loc 0xfa000000 emit-logger"],
    "ioapic": ["name second loc 0xfa001000", "name second loc 0xfa001000 pins 48"],
}

# Arm's: fuzzed, and their branches not counted, since nothing here asks for the nodes of a device tree.
ARM = {"pl011": "intr ioapic:4 hostdev <IN hostdev >OUT", "pl031": "intr ioapic:4", "pl061": "intr ioapic:4", "wdt-sp805": "intr ioapic:4"}

# What does not start: the sentences are code too.
REFUSED = {
    "virtio-blk": ["", "hostdev NOTHING", "hostdev DISK legacy", "hostdev DISK serial 123456789012345678901", "hostdev DISK queues 0",
                   "hostdev DISK queues 99", "hostdev IN/x", "hostdev /", "hostdev DISK hostdev DISK", "hostdev DISK delayed x"],
    "virtio-net": ["", "tapdev", "tapdev a/b", "tapdev tap0 mac 01:00:00:00:00:01", "tapdev tap0 mac x", "tapdev tap0 legacy", "peer a",
                   "tapdev tap0 peerfeats 1"],
    "virtio-console": ["hostdev /", "hostdev NOTHING", "hostdev >OUT hostdev >OUT", "hostdev >OUT legacy", "hostdev <"],
    "virtio-entropy": ["legacy"],
    "ser8250": ["hostdev >OUT hostdev >OUT intr ioapic:4", "hostdev NOTHING", "batch x", "hostdev /"],
    "mc146818": ["reg x", "reg 0x100,0", "reg 0x10,256", "reg 0x10"],
    "timer8254": ["intr ioapic:0 accel on"],
    "hpet": ["", "intr ioapic:0 frequency 1", "intr ioapic:8,ioapic:8"],
    "wdt-ib700": ["action x", "action dump,terminate", "action terminate,x"],
    "pci-dummy": ["", "clone x", "clone pci:0:99.0", "vendor 8086", "device 1", "vendor x device 1", "clone pci:0:0.0 vendor 1"],
    "trace": ["", "loc 0xfa000000 emit-trace", "loc 0xfa000000 emit-trace x"],
    "ioapic": ["name second", "name second loc 0xfa001000 pins 0", "name second loc 0xfa001000 pins 999"],
}


# Calls of the host that fail while a vdev starts.
FAILS = [f"{call}:{nth}:{error}" for call, error in (("open", "EACCES"), ("ioctl", "EPERM"), ("ioctl", "EBUSY"), ("malloc", "ENOMEM"),
                                                     ("calloc", "ENOMEM"), ("strdup", "ENOMEM"), ("timerfd_create", "EMFILE"),
                                                     ("fcntl", "EIO"), ("getrandom", "EIO"), ("access", "ENOENT"),
                                                     ("io_uring_queue_init_params", "EPERM"), ("eventfd", "EMFILE"))
         for nth in range(1, 4)]

_open = []  # ends of terminals and pipes, as long as the program runs


def words(text, folder):
    """As a list; the folder holds the files that they name."""
    (folder / "disk").write_bytes(bytes(1 << 20))
    (folder / "in").write_bytes(bytes(range(256)) * 16)
    if "TTY" in text:
        master, slave = os.openpty()
        _open.extend((master, slave))
        os.write(master, b"typed\n\x1d\x1d" * 20)
        text = text.replace("TTY", os.ttyname(slave))
    if "FULL" in text:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(folder / "full")
        _open.append(os.open(folder / "full", os.O_RDWR | os.O_NONBLOCK))
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(_open[-1], bytes(4096))
        text = text.replace("FULL", str(folder / "full"))
    text = re.sub(r"\b(DISK|OUT|IN|NOTHING)\b", lambda name: str(folder / name[0].lower()), text)
    return text.replace("EVENTS", str(TOP / "vdevs/virtio-input/hello.evemu")).split()
