# SPDX-License-Identifier: Apache-2.0
"""The vdevs beyond a PC's platform and VirtIO's usual set, used by stock guests."""
import hashlib
import re

import pytest

import guests
from guests import marked
from lab import cpio, full_kernel, images


def test_trace_counts_and_tells(host):
    """A guest's program reads and writes the cell by /dev/mem; the log and the host kernel's trace tell of it."""
    host.run("mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; echo > /sys/kernel/tracing/trace")
    configuration, archive = guests.linux(
        "a=$(devmem 0xfa000000); sleep 2; echo later=$(($(devmem 0xfa000000) - a)); devmem 0xfa000000 32 1000000; "
        "echo set=$(($(devmem 0xfa000000)))", extra="vdev trace loc 0xfa000000 emit-logger emit-trace 12\n")
    result = host.qvm(configuration, archive)
    text = result.text.replace("\r\n", "\n")
    assert 1 <= int(marked(text, "later")) <= 60
    assert 1000000 <= int(marked(text, "set")) <= 1000060
    assert "vdev trace: write 1000000" in result.error
    assert "vdev trace: event 12: write 1000000" in host.run("cat /sys/kernel/tracing/trace").text


@pytest.fixture(scope="module")
def full(board):
    """Debian's kernel with all drivers, on the board; returns the files of its modules."""
    with open(full_kernel.kernel(), "rb") as kernel:
        board.push(kernel.read(), "/tmp/vmlinuz-full", timeout=120)
    return full_kernel.module_files()


def full_linux(host, files, script, **options):
    run = {key: options.pop(key) for key in ("timeout", "check") if key in options}
    configuration, _ = guests.linux(None, **options)
    archive = cpio.archive({**files, "test": "#!/bin/busybox sh\nbusybox --install -s /bin\n" + script})
    return host.qvm(configuration.replace("/payload/vmlinuz", "/tmp/vmlinuz-full"), archive, timeout=150, **run)


# The kernel's timeout is longer than a board's pauses; a second later than it the watchdog must have bitten.
WATCHDOG = ("insmod /modules/ib700wdt.ko timeout=10; exec 3> /dev/watchdog; for i in $(seq 14); do echo k >&3; sleep 1; done; "
            "echo kicked=$i; ")


def test_watchdog_bites_a_guest_that_no_longer_kicks_it(host, full):
    """Linux's own driver: as long as it kicks nothing happens; then the guest is dumped and the VM ends with status 4."""
    host.run("mkdir -p /tmp/t/dumps")
    result = full_linux(host, full, WATCHDOG + "sleep 60; echo survived=yes", check=False,
                        extra="dump /tmp/t/dumps\nvdev wdt-ib700 action dump,terminate\n")
    assert result.status == 4, result.error
    assert marked(result.text.replace("\r\n", "\n"), "kicked") == "14"
    assert "survived" not in result.text
    assert "has not kicked its watchdog in time" in result.error
    assert re.search(r"the guest is dumped to '/tmp/t/dumps/qvm-guest-.*\.gcore'", result.error)
    host.run("ls /tmp/t/dumps/qvm-guest-*.gcore")


def test_watchdog_is_stopped_by_its_driver(host, full):
    result = full_linux(host, full, WATCHDOG.replace("14", "2") + "echo V >&3; exec 3>&-; sleep 15; echo survived=yes",
                        extra="vdev wdt-ib700\n")
    assert marked(result.text.replace("\r\n", "\n"), "survived") == "yes"


def test_dummy_has_the_ids_of_a_device_of_the_host(host):
    """lspci in the guest says of the dummy what it says of the device in the host; given ids at a fixed place; function 0."""
    script = ("mount -o ro -t squashfs /dev/vda /mnt; mount -t proc proc /mnt/proc; mount -t sysfs sys /mnt/sys; "
              "chroot /mnt lspci -n; chroot /mnt lspci -n -v -s 00:02.0")
    text = host.linux(script, extra="vdev virtio-blk hostdev </payload/tools.squashfs\nvdev pci-dummy clone pci:0:0.0\n"
                      "vdev pci-dummy loc pci:0:31.0 vendor 8086 device 2918 class 060100 revision 2\n"
                      "vdev pci-dummy loc pci:0:31.3 vendor 8086 device 2930 class 0c0500\n")
    host_line = host.run("lspci -n -s 00:00.0").text.split(" ", 1)[1].strip()
    assert f"00:02.0 {host_line}" in text
    subsystem = "".join(host.run(f"cut -c3- /sys/bus/pci/devices/0000:00:00.0/subsystem_{name}").text.strip() + ":"
                        for name in ("vendor", "device"))[:-1]
    assert f"Subsystem: {subsystem}" in text
    assert "00:1f.0 0601: 8086:2918 (rev 02)" in text
    assert "00:1f.3 0c05: 8086:2930" in text


def test_verified_boot_starts_what_it_knows_and_nothing_else(host):
    """Linux and its initrd boot with their digests. With one bit of one digest wrong the guest executes nothing."""
    configuration, archive = guests.linux("echo booted=yes")
    with open(images.guest_kernel(), "rb") as file:
        kernel = hashlib.sha256(file.read()).hexdigest()
    host.prepare("", archive)
    initrd = host.run("sha256sum < /tmp/t/initrd").text.split()[0]
    wrong = initrd[:-1] + f"{int(initrd[-1], 16) ^ 1:x}"
    line = "vdev verified-boot digest {},/payload/vmlinuz digest {},/tmp/t/initrd\n"
    result = host.qvm(configuration + line.format(kernel, initrd), archive)
    assert marked(result.text.replace("\r\n", "\n"), "booted") == "yes"
    result = host.qvm(configuration + line.format(kernel, wrong), archive, check=False)
    assert result.status == 64
    assert "'/tmp/t/initrd' has another SHA-256 digest: the guest does not start" in result.error
    assert result.text == ""


def test_verified_boot_patches_memory_and_registers(host):
    """The guest without an operating system says what the patch has put in place of its own text."""
    digest = hashlib.sha256(guests.RAW_HI).hexdigest()
    configuration = ("ram 1m\nload 0x8000,/payload/hi.bin\nvdev ser8250 hostdev >-\n"
                     f"vdev verified-boot digest {digest},/payload/hi.bin\n")
    assert host.qvm(configuration).text == "Hi\n"
    assert host.qvm(configuration + f"patch {0x8004:x},{ord('Y'):02x}\n").text == "Yi\n"
    # Past the first character: rip counts from the code segment, dx is the serial port.
    assert host.qvm(configuration + "register rip,6 register rdx,3f8\n").text == "i\n"
    other = host.qvm(configuration.replace(digest, "0" * 64), check=False)
    assert other.status == 64 and other.text == ""
