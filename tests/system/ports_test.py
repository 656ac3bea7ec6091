# SPDX-License-Identifier: Apache-2.0
"""Ports and an interrupt of a PC that a guest has: the board's second serial port, which the host gives away by UIO (lab/onboard/uio)."""
import pathlib
import re
import shutil
import subprocess

import pytest

import guests
from guests import TOP, marked
from lab import cpio, images, passing
from lab.machines import X86_64

TEXT = "".join(f"line {n} by the guest's own driver\n" for n in range(20))
PORTS = "pass loc io:2f8,8,rwn intr myioapic:3,u=3\n"


def fill(folder):
    guests.link_build(folder, "build")
    for name, path in {"vmlinuz": images.guest_kernel(), "initrd": images.guest_initrd(), "uio.ko": images.uio_module()}.items():
        shutil.copyfile(path, folder / name)
    subprocess.run(["iasl", "-vs", "-p", folder / "serial", TOP / "tests/system/serial.asl"], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def serial_board():
    with guests.board_with(fill, machine=passing.machine(X86_64, "none")) as running:
        yield running


def linux(host, platform, script, tables=""):
    host.run("pkill -9 -x qvm; rm -rf /tmp/t; mkdir -p /tmp/t", check=False)
    configuration = ('ram 256m\nload /payload/vmlinuz\ninitrd load /tmp/t/initrd\ncmdline "console=hvc0 quiet panic=-1"\n' + platform + tables + PORTS +
                     guests.CONSOLE)
    return host.qvm(configuration, cpio.archive({"test": "#!/bin/busybox sh\nbusybox --install -s /bin\n" + script, "text": TEXT}), build="build", check=False)


def test_ids_are_the_guests(serial_board):
    """The kernel's list of the firmware's devices has small letters in ids; ACPI has none."""
    serial_board.run("for d in /sys/bus/pnp/drivers/rtc_cmos/0*; do echo $(basename $d) > /sys/bus/pnp/drivers/rtc_cmos/unbind; done; mkdir -p /tmp/t")
    host = guests.Host(serial_board)
    host.prepare("ram 256m\npass loc io:70,8\n")
    assert "PNP0B00, unit 100, 1 resources" in host.run(host.command("dryrun", "build")).text


def test_a_serial_port(serial_board):
    """Refused while the host's driver has it; then the guest's driver sends by it with interrupts, in both interrupt machines. The guest
    is told of the port as the host is by its firmware, or by the user's table."""
    host = guests.Host(serial_board)
    done = linux(host, guests.PLATFORM, "true")
    assert done.status == 65 and "pass io 0x2f8-0x2ff is in use by the host: 'serial' has it" in done.error, done.error
    host.run("modprobe uio; for d in /sys/bus/pnp/drivers/serial/0*; do grep -q 0x2f8 $d/resources && echo $(basename $d) > /sys/bus/pnp/drivers/serial/unbind; "
             "done; insmod /payload/uio.ko irq=3 port=0x2f8")
    tables = {"kernel": "", "split": "acpi load /payload/serial.aml\n"}
    for number, (name, platform) in enumerate(guests.MACHINES.items(), 1):
        done = linux(host, platform, "stty -F /dev/ttyS1 raw; cat /text > /dev/ttyS1; echo interrupts=$(grep 3-edge /proc/interrupts)", tables[name])
        assert done.status == 0, (name, done.error)
        assert int(re.match(r"\d+: +(\d+) +IO-APIC +3-edge", marked(done.text.replace("\r\n", "\n"), "interrupts")).group(1)) > 0, name
        assert pathlib.Path(serial_board.folder, passing.ISA_SERIAL).read_text(encoding="ascii") == TEXT * number, name
