# SPDX-License-Identifier: Apache-2.0
"""Our vdevs and the words that vdev-fuzz starts them with: for its tests, the soak, and the count of branches."""

import contextlib
import hashlib
import os
import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parent.parent

PICS = "vdev ioapic name ioapic vdev 8259 loc io:0x20 vdev 8259 loc io:0xa0".split()

# What stands before a vdev, if it is not these.
BEFORE = {
    "8259": "vdev ioapic name ioapic accel off vdev 8259 loc io:0xa0",
    "ioapic": "",
    "timer8254": "vdev ioapic name ioapic accel off vdev 8259 loc io:0x20 vdev 8259 loc io:0xa0",
}

# DISK is a file of 1 MiB, ABC one of three bytes, OUT and IN a file to write and one to read, TTY a terminal on which something was
# typed, - the program's own, FULL a pipe that takes nothing, FIFO one that nobody has open, CHAR and BLOCK stand-ins for devices of
# the host. The first words are what is fuzzed; with all of them the corpus runs when branches are counted.
WORDS = {
    "virtio-blk": ["hostdev DISK", "hostdev <DISK packed no queues 2 serial abc", "hostdev DISK dio enable threads 2 delayed 5",
                   "hostdev NOTHING delayed 1", "hostdev BLOCK", "hostdev BLOCK dio enable packed no", "hostdev <BLOCK queues 3"],
    "virtio-net": ["tapdev tap0", "tapdev tap0 mac 02:00:00:00:00:01 packed no"],
    "virtio-console": ["hostdev >OUT", "hostdev <IN hostdev >OUT packed no", "hostdev <IN hostdev >OUT delayed", "hostdev TTY",
                       "hostdev <IN hostdev >FULL", "hostdev CHAR", "hostdev -"],
    "virtio-entropy": ["", "packed no delayed"],
    "virtio-input": ["hostdev CHAR", "hostdev EVENTS", "hostdev CHAR grab no packed no"],
    "progress": ["hostdev >OUT step 1=kernel step 2=user", "hostdev >FULL", "hostdev CHAR step 7=x step 7=y loc mem:0xfa000000", ""],
    "shmem": ["create a,8192 deny b", "loc 0xfb000000 intr ioapic:5 allow a* create ab,1 create b,1"],
    "ser8250": ["intr ioapic:4 hostdev >OUT", "loc 0x2f8 intr ioapic:3 hostdev <IN hostdev >OUT batch 100",
                "intr ioapic:4 hostdev <IN hostdev >OUT delayed", "intr ioapic:4 hostdev TTY", "intr ioapic:4 hostdev CHAR",
                "intr ioapic:4 hostdev -"],
    "mc146818": ["intr ioapic:8", "reg 0x10,0x55 reg 0x20,1"],
    "timer8254": ["intr ioapic:0 accel off", "intr ioapic:0", ""],
    "hpet": ["intr ioapic:0,ioapic:8,ioapic:11", "intr ioapic:0,ioapic:8,ioapic:11 frequency 10000000 legacy-free"],
    "pckeyboard": ["", "loc 0x60"],
    "wdt-ib700": ["", "action terminate", "action dump,terminate dump /tmp"],
    "pci-dummy": ["vendor 8086 device 2918",
                  "loc pci:0:31.0 vendor 8086 device 2918 class 060100 subsystem-vendor 1 subsystem-device 2 revision 3",
                  "clone pci:0:31.0", "vendor 1 clone 0:31"],
    "clk-guard": ["loc mem:0xfa000000 length 0x20 rule 0=allow rule 4=deny rule 8=read-only rule c=mask,ff rule 10,8=shadow default read-only",
                  "loc mem:0xfa000000 length 0x20 rule 2,2=shadow rule 5,1=shadow rule 1f,1=shadow default allow", "loc io:0x300 rule 0=allow"],
    "trace": ["loc 0xfa000000 emit-logger", "loc 0xfa000000 emit-trace 7"],
    "ioapic": ["name ioapic accel off", "name ioapic accel off loc 0xfa001000 pins 48"],
    "8259": ["loc io:0x20"],
    "cpu-model": ["brand Test microcode 0x22 msr 0x1234,5", ""],
    "verified-boot": ["digest ABCSUM,ABC patch 2000,0102 register rsi,7 load 0x1000,ABC"],
    "pl011": ["intr ioapic:4 hostdev >OUT", "intr ioapic:4 hostdev <IN hostdev >OUT batch 100", "intr ioapic:4 hostdev TTY",
              "intr ioapic:4 hostdev CHAR delayed"],
    "pl031": ["intr ioapic:8", ""],
    "pl061": ["intr ioapic:4", "intr ioapic:4 button 0", "loc 0xfa000000 intr ioapic:4 button 7"],
    "wdt-sp805": ["intr ioapic:8", "intr ioapic:8 action fiq frequency 1000", "action dump,terminate dump /tmp"],
}

# What does not start: the sentences are code too.
REFUSED = {
    "virtio-blk": ["", "hostdev NOTHING", "hostdev DISK legacy", "hostdev DISK serial 123456789012345678901", "hostdev DISK queues 0",
                   "hostdev DISK queues 99", "hostdev IN/x", "hostdev /", "hostdev DISK hostdev DISK", "hostdev DISK delayed x",
                   "hostdev >DISK", "hostdev <", "hostdev ABC", "hostdev <ABC", "hostdev EMPTY", "hostdev BLOCK hostdev CHAR",
                   "hostdev DISK vdev virtio-blk hostdev DISK", "hostdev NOTHING delayed 0 dio enable"],
    "virtio-net": ["", "tapdev", "tapdev a/b", "tapdev tap0 mac 01:00:00:00:00:01", "tapdev tap0 mac x", "tapdev tap0 legacy", "peer a",
                   "tapdev tap0 peerfeats 1", "tapdev ..", "tapdev 1234567890123456", "tapdev tap0 mac 00:00:00:00:00:00"],
    "virtio-console": ["hostdev /", "hostdev NOTHING", "hostdev >OUT hostdev >OUT", "hostdev >OUT legacy", "hostdev <"],
    "virtio-entropy": ["legacy"],
    "virtio-input": ["", "legacy", "hostdev /", "hostdev NOTHING", "hostdev /dev/null", "hostdev <IN", "hostdev >IN", "hostdev -",
                     *(f"hostdev {path}" for path in sorted((TOP / "tests/parsers/evemu").glob("*")))],
    "progress": ["hostdev <IN", "step 1", "step 1=", "step 999=a", "step x=a", "step =a", "step 12345678901234567=a", "hostdev /",
                 "hostdev >FIFO", "step 1=" + 64 * "x"],
    "shmem": ["create a", "create /,1", "create a,0", "create a,1 create a,1", "create ,1", f"create {26 * 'x'},1", "create a,2G",
              " ".join(f"create a{i},1" for i in range(65)), "loc 0xfb000000 create a,1G"],
    "ser8250": ["hostdev >OUT hostdev >OUT intr ioapic:4", "hostdev NOTHING", "batch x", "hostdev /"],
    "mc146818": ["reg x", "reg 0x100,0", "reg 0x10,256", "reg 0x10"],
    "timer8254": ["intr ioapic:0 accel on"],
    "hpet": ["", "intr ioapic:0 frequency 1", "intr ioapic:8,ioapic:8"],
    "wdt-ib700": ["action x", "action dump", "action dump,terminate,x", "action terminate,x", "action "],
    "pci-dummy": ["", "clone x", "clone pci:0:99.0", "vendor 8086", "device 1", "vendor x device 1", "clone pci:0:0.0 vendor 1",
                  "clone pci:0:30.0", "clone pci:0:29.0", "clone pci:300:1.0", "clone pci:0:1.9", "clone pci:0.1", "clone pci:0:1.1x"],
    "trace": ["", "loc 0xfa000000 emit-trace", "loc 0xfa000000 emit-trace x", "loc 0xfa000000 emit-trace 1024"],
    "ioapic": ["name a loc 0xfa001000 pins 0", "name a loc 0xfa001000 pins 999", "name a loc 0xfa001001", "name a loc 0x1fa001000",
               "name a vdev ioapic intr a:1"],
    "8259": ["", "loc io:0x120"],
    "cpu-model": ["msr 1", "msr x,1", "msr 1,x", "msr 1,2,3", "msr 0x100000000,1", "msr 7,1 msr 7,2", f"brand {48 * 'x'}",
                  " ".join(f"msr {i + 0x400},1" for i in range(65))],
    "verified-boot": ["", "digest x,ABC load 0x1000,ABC", "digest ABCSUM load 0x1000,ABC", "digest BADSUM,ABC load 0x1000,ABC",
                      "digest ABCSUM,ABC", "digest ABCSUM,ABC digest ABCSUM,ABC", "load 0x1000,ABC digest ABCSUM,NOTHING",
                      "digest ABCSUM,ABC load 0x1000,ABC patch x,00", "digest ABCSUM,ABC load 0x1000,ABC patch 1000,0g",
                      "digest ABCSUM,ABC load 0x1000,ABC patch ffffffffff,00", "digest ABCSUM,ABC load 0x1000,ABC register cr3,1",
                      "digest ABCSUM,ABC load 0x1000,ABC register rsi,x", "digest ABCSUM,ABC load 0x1000,ABC load 0x1001,IN",
                      "digest ABCSUM,ABC load 0x1000,ABC load 0x1001,ABC"],
    "pl011": ["hostdev >OUT hostdev >OUT", "hostdev NOTHING", "batch x", "hostdev /"],
    "pl061": ["", "intr ioapic:4 button 8", "intr ioapic:4 button x", "loc 0xfa000001 intr ioapic:4"],
    "clk-guard": ["", "loc mem:0xfa000000 rule 4=allow", "loc mem:0xfa000000 length 0", "loc mem:0xfa000000 default shadow",
                  "loc mem:0xfa000000 rule 0", "loc mem:0xfa000000 rule x=deny", "loc mem:0xfa000000 rule 0,0=deny", "loc mem:0xfa000000 rule 0=no",
                  "loc mem:0xfa000000 rule 0=mask", "loc mem:0xfa000000 rule 0=deny,1", "loc mem:0xfa000000 rule 0=mask,x",
                  "loc mem:0xfa000000 rule 0,2=deny rule 1=deny", "loc mem:0xfa000000 rule 2,2=deny rule 0=deny",
                  "loc mem:0xfa000000 length 0x200 " + " ".join(f"rule {4 * i:x}=allow" for i in range(65))],
    "wdt-sp805": ["action fiq", "action bark", "frequency 0"],
}


# Calls of the host that fail while a vdev starts.
FAILS = [f"{call}:{nth}:{error}"
         for call, errors in {"open": "EACCES EBUSY", "fopen": "EACCES", "stat": "EACCES", "fstat": "EIO", "access": "ENOENT EACCES",
                              "ioctl": "EPERM EBUSY EINVAL", "fcntl": "EIO EAGAIN", "statx": "ENOSYS", "dup": "EMFILE", "signalfd": "EMFILE",
                              "malloc": "ENOMEM", "calloc": "ENOMEM", "realloc": "ENOMEM", "strdup": "ENOMEM", "mmap": "ENOMEM",
                              "timerfd_create": "EMFILE", "eventfd": "EMFILE", "getrandom": "EIO", "read": "EIO", "socket": "EMFILE",
                              "pthread_create": "EAGAIN", "io_uring_queue_init_params": "EPERM ENOSYS EINVAL ENOMEM"}.items()
         for error in errors.split() for nth in range(1, 4)]

_open = []  # ends of terminals and pipes, as long as the program runs


def before(name):
    return BEFORE[name].split() if name in BEFORE else PICS


def standins(folder):
    """Options of vdev-test and vdev-fuzz."""
    header = bytearray(64)
    header[0:4] = b"\x86\x80\x18\x29"
    (folder / "config").write_bytes(header)
    header[14] = 1
    (folder / "bridge").write_bytes(header)
    places = ["char:/stand-in/char", f"block:/stand-in/block={folder}/disk", f"/sys/kernel/tracing/trace_marker={folder}/out"]
    places += [f"/sys/bus/pci/devices/0000:00:{slot}.0/config={folder}/{file}"
               for slot, file in (("1f", "config"), ("1e", "bridge"), ("1d", "abc"))]
    return [word for place in places for word in ("--stand-in", place)]


def words(text, folder):
    """As a list; the folder holds the files that they name."""
    (folder / "disk").write_bytes(bytes(1 << 20))
    (folder / "in").write_bytes(bytes(range(256)) * 16)
    (folder / "abc").write_bytes(b"abc")
    (folder / "empty").write_bytes(b"")
    (folder / "out").touch()
    with contextlib.suppress(FileExistsError):
        os.mkfifo(folder / "fifo")
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
    digest = hashlib.sha256(b"abc").hexdigest()
    text = text.replace("ABCSUM", digest).replace("BADSUM", digest[::-1])
    text = re.sub(r"\b(DISK|OUT|IN|NOTHING|ABC|EMPTY|FIFO)\b", lambda name: str(folder / name[0].lower()), text)
    text = text.replace("CHAR", "/stand-in/char").replace("BLOCK", "/stand-in/block")
    return text.replace("EVENTS", str(TOP / "vdevs/virtio-input/hello.evemu")).split()
