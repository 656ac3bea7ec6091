# SPDX-License-Identifier: Apache-2.0
"""Guests that touch everything, and VMs that are killed."""
import random
import re

import guests

DISK = "vdev virtio-blk hostdev /dev/board/scratch name disk0\n"


def test_touching_everything_finds_only_what_is_configured(host, machine):
    result = host.qvm("ram 16m\nload 0x8000,/payload/touch.bin\n" + guests.MACHINES[machine] +
                      "vdev ser8250 hostdev >-\n" + DISK + "vdev virtio-entropy\n", timeout=240)
    lines = result.text.splitlines()
    assert lines[0] == "start" and lines[-1] == "end"
    found = [line for line in lines[1:-1] if line]
    assert "another bus" not in found and "ports and memory differ" not in found
    assert [line for line in found if line.startswith("pci ")] == [
        "pci 00.0 1c05:0002 class 0600", "pci 01.0 1af4:1042 class 0180", "pci 02.0 1af4:1044 class 00ff"]
    # Ports: 8259s with their trigger registers, 8254 and its gate, keyboard, RTC, UART, platform, PCI.
    allowed = [(0x20, 0x21), (0x40, 0x43), (0x60, 0x60), (0x61, 0x61), (0x64, 0x64), (0x70, 0x71), (0xa0, 0xa1),
               (0x3f8, 0x3ff), (0x4d0, 0x4d1), (0x600, 0x603), (0xcf8, 0xcff)]
    for first, last in re.findall(r"^port (\w+)-(\w+)$", result.text, re.M):
        for port in range(int(first, 16), int(last, 16) + 1):
            assert any(a <= port <= b for a, b in allowed), f"something answers at port {port:#x}"
    # Memory, by 2 MiB: the configuration space, the I/O APIC (0xfec00000) and the local APIC (0xfee00000).
    memory = re.findall(r"^memory (\w+)-(\w+)$", result.text, re.M)
    assert memory == [("e0000000", "e01fffff"), ("fec00000", "feffffff")]


def test_killed_at_any_moment_the_next_start_works(host):
    """kill -9 at 10 random moments of boot and disk and network load; nothing is left, the next VM runs."""
    load = ("ip link set eth0 up; ip addr add 10.9.9.2/24 dev eth0; (ping -f 10.9.9.1 > /dev/null &); "
            "while true; do dd if=/dev/zero of=/dev/vda bs=64k count=500 2>/dev/null; done")
    net = "vdev virtio-net tapdev bhk0 name net0\n"
    kills(host, load, net, 10, random.Random(7))


def kills(host, load, net, count, rng):
    for number in range(count):
        configuration, archive = guests.linux(load, extra=DISK + net)
        if not number:
            host.prepare("system killed\n" + configuration, archive)
        moment = rng.uniform(0.05, 9.0)
        left = host.run(f"""
            setsid {host.command(build='build')} < /dev/null > /tmp/t/log 2>&1 &
            pid=$!
            sleep {moment:.3f}
            kill -9 $pid; wait $pid 2>/dev/null
            ls /sys/class/net | grep bhk0 && echo left: tap
            pgrep -x qvm && echo left: process
            true""", timeout=60).text
        assert "left:" not in left, f"after {moment:.3f} s: {left}"
    configuration, archive = guests.linux("echo fine", extra=DISK + net)
    result = host.qvm("system killed\n" + configuration, archive, build="build")
    assert "fine" in result.text
    assert host.run("ls /run/qvm").text == ""
