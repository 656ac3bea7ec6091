# SPDX-License-Identifier: Apache-2.0
"""Loading: ELF, PVH, multiboot, firmware in `rom`, Debian's Memtest86+; where files go, and what is refused."""
import re
import time

import pytest

import guests
from guests import PLATFORM, SERIAL, marked

COM1 = "vdev ser8250 hostdev >-\n"


@pytest.fixture
def files(host):
    """Two small files to hand to a guest."""
    host.board.push(b"the first", "/tmp/t/one")
    host.board.push(b"the second one", "/tmp/t/two")
    return "initrd load /tmp/t/one\n"


def start(host, guest, extra="", memory="ram 16m\n", **options):
    return host.qvm(f"{memory}load /payload/{guest}\ncmdline \"a=b c\"\n{extra}{COM1}", timeout=90, **options)


# What each way hands over: RAM as the memory map counts it (16 MiB without 0x9fc00 to 1 MiB).
@pytest.mark.parametrize("guest,way,bits", [("pvh.elf", "pvh", 32), ("multiboot.elf", "multiboot", 32),
                                            ("multiboot.bin", "multiboot", 32), ("plain32.elf", "linux", 32),
                                            ("plain64.elf", "linux", 64)])
def test_ways_to_start(host, files, guest, way, bits):
    text = start(host, guest, files).text
    assert (marked(text, "way"), int(marked(text, "bits"), 16)) == (way, bits)
    assert marked(text, "cmdline") == "a=b c"
    assert marked(text, "module") == "the first"
    assert int(marked(text, "bss"), 16) == 0
    assert int(marked(text, "ram"), 16) == (16 << 20) - (0x100000 - 0x9fc00)
    assert int(marked(text, "first"), 16) == 0
    if way == "pvh":
        assert marked(text, "rsdp") == "RSD PTR"


def test_several_modules(host, files):
    """In the order of the file, one of them at its own address; multiboot and PVH take them, Linux takes one."""
    both = files + "initrd load 0x800000,/tmp/t/two\n"
    for guest in ("pvh.elf", "multiboot.elf"):
        assert re.findall("module=(.*)", start(host, guest, both).text) == ["the first", "the second one"]
    for guest in ("plain64.elf", "vmlinuz"):
        refused = start(host, guest, both, check=False)
        assert refused.status == 64 and "it takes one initrd" in refused.error and "this is the first one" in refused.error


@pytest.mark.parametrize("kernel,options", [("vmlinux", ""), ("vmlinuz", ""), ("vmlinuz", "0x8000000,")])
def test_linux(host, kernel, options):
    """Debian's kernel as an ELF file starts by its PVH note; an initrd may be given its place."""
    configuration, archive = guests.linux("echo init=$(cut -d' ' -f1 /proc/uptime); dmesg | grep -E 'RAMDISK|RSDP'")
    configuration = configuration.replace("/payload/vmlinuz", f"/payload/{kernel}").replace("initrd load ", f"initrd load {options}")
    text = host.qvm(configuration, archive).text.replace("\r\n", "\n")
    assert float(marked(text, "init")) > 0
    assert re.search(r"RAMDISK: \[mem 0x08000000-" if options else r"RAMDISK: \[mem 0x0f[0-9a-f]*-0x0fffffff\]", text)
    assert "RSDP 0x00000000000E0000" in text


def refused(host, configuration, *words):
    result = host.qvm(configuration, check=False, timeout=90)
    assert result.status == 64, (result.status, result.error)
    for word in words:
        assert word in result.error, result.error


def test_refused_loads(host, files):
    """Overlaps name both; so do places that memory does not have, and files that make no sense."""
    host.run("head -c 3000 /payload/pvh.elf > /tmp/t/cut; head -c 100000 /dev/zero > /tmp/t/big")
    refused(host, "ram 16m\ndata load 0x100800,/tmp/t/one\nload /payload/pvh.elf\n",
            "vm.qvmconf:3:6: error: '/payload/pvh.elf' would lie over '/tmp/t/one'", "vm.qvmconf:2:20: note")
    refused(host, "ram 16m\nload /payload/pvh.elf\ninitrd load 0x101000,/tmp/t/one\n",
            "vm.qvmconf:3:22: error: '/tmp/t/one' would lie over '/payload/pvh.elf'")
    refused(host, "ram 16m\ninitrd load 0x8000,/tmp/t/one\ndata load 0x8004,/tmp/t/two\nload /payload/pvh.elf\n",
            "would lie over")
    refused(host, "ram 512k\nload /payload/pvh.elf\n", "no free RAM where a segment of it goes")
    refused(host, "ram 16m\nload 0x100000,/payload/pvh.elf\n", "is an ELF program, which goes to a place of its own")
    refused(host, "ram 16m\nload /tmp/t/cut\n", "cannot load '/tmp/t/cut'")
    refused(host, "ram 16m\nload 0x1000000,/tmp/t/one\n", "no RAM for all of it at its address")
    refused(host, "ram 16m\nload 0xfffff0,/tmp/t/big\n", "no RAM for all of it at its address")
    refused(host, "ram 16m\nload 0x8000,/payload/hi.bin\ninitrd load /tmp/t/one\n", "it takes no initrd")
    refused(host, "ram 1m,15m\nload /payload/pvh.elf\n", "no RAM at 0x500 to 0x30000")


def test_firmware_starts_at_the_reset_vector(host):
    """With the state of a processor after a reset: CS base 0xffff0000, IP 0xfff0."""
    code = (b"\xba\xf8\x03\x8c\xc8\x3d\x00\xf0"  # COM1; is CS 0xf000?
            b"\xb0F\x74\x02\xb0?\xee\xb0\n\xee")  # "F" if it is
    reset = b"\xba\x03\x06\xb0\x01\xee\xf4"  # the reset register
    # The first byte is no entry; from 0xfff0 a jump leads to 0x100.
    rom = (reset.ljust(0x100, b"\xf4") + code + reset).ljust(0xfff0, b"\xf4") + b"\xe9\x0d\x01".ljust(16, b"\xf4")
    host.board.push(rom, "/tmp/t/rom")
    base = f"ram 640k\nrom 0xffff0000,64k\n{COM1}"
    assert host.qvm(base + "load 0xffff0000,/tmp/t/rom\n", timeout=90).text == "F\n"
    # As data it is no guest: the first one that is decides.
    both = base + "data load 0xffff0000,/tmp/t/rom\nload 0x7c00,/payload/hi.bin\n"
    assert host.qvm(both, timeout=90).text == "Hi\n"


def memtest(host, until, timeout):
    """Debian's Memtest86+ on 32 MiB until its serial console says `until` (a pattern). Returns what the console said, without the
    control sequences; every line of it that counts errors says 0."""
    command = host.start(f"ram 32m\nload /payload/memtest\ncmdline \"console=ttyS0,115200 nosmp\"\n{PLATFORM}{SERIAL}",
                         build="build")
    try:
        command.read_until(until, timeout=timeout)
    finally:
        host.run("pkill -QUIT -x qvm; true")
    result = command.wait(timeout=90)
    assert result.status == 3, (result.status, result.error)
    said = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "\n", result.text)
    counts = re.findall(r"Errors: +(\d+)", said)
    assert counts and set(counts) == {"0"}, said[-3000:]
    return said


def test_memtest_sample(host):
    """Tests 0 to 4 and the start of a later one (its screen misses short ones); `make soak` runs 0 to 9."""
    said = memtest(host, r"#(?:[5-9] |10) \[", 240)
    assert "of 31.6MB" in said


def firmware(host, configuration, until, cmos, extra="", timeout=60):
    """Starts firmware with a debug console; returns what it said there up to `until`."""
    platform = PLATFORM.replace("vdev mc146818", f"vdev mc146818 {cmos}")
    command = host.start(configuration + platform + "vdev debugcon\n" + extra, build="build", words="2>&1")
    begun = time.monotonic()
    try:
        command.read_until(until, timeout=timeout)
    finally:
        host.run("pkill -QUIT -x qvm; true")
    said = command.wait(timeout=90).text
    assert time.monotonic() - begun < timeout
    return said


def test_seabios(host):
    """Debian's SeaBIOS, from the reset vector to where it looks for something to boot. Its ROM is below 4 GiB and, since it
    writes to itself there, in RAM below 1 MiB; the size of memory is in the CMOS memory's bytes 0x34 and 0x35."""
    said = firmware(host, "ram 32m\nrom 0xfffc0000,256k\ndata load 0xc0000,/payload/bios-256k.bin\n"
                          "load 0xfffc0000,/payload/bios-256k.bin\n", "enter handle_19", "reg 0x35,1",
                    "vdev virtio-entropy\n")
    for words in ("SeaBIOS (version 1.16", "RamSize: 0x02000000 [cmos]", "Found 1 cpu(s)", "id=1c05:0002", "id=1af4:1044",
                  "Press ESC for boot menu", "0000000000100000 - 0000000002000000 = 1 RAM"):
        assert words in said, said
