# SPDX-License-Identifier: Apache-2.0
"""Counts and sizes that the specification claims, read from KVM and the kernel, on the release build."""
import re

from guests import Phases

DISK = "vdev virtio-blk hostdev /dev/board/scratch name disk0\n"
NET = "vdev virtio-net tapdev bh0 name net0\n"
TAP = "ip tuntap add dev bh0 mode tap && ip addr add 10.9.9.1/24 dev bh0 && ip link set bh0 up"

def test_exits_per_block_request(host):
    """None goes to user space; the doorbell of a request is one emulated access."""
    vm = Phases(host, ["dd if=/dev/vda of=/dev/null bs=4k count=100 iflag=direct 2>/dev/null",
                       "dd if=/dev/vda of=/dev/null bs=4k count=2000 iflag=direct 2>/dev/null"], extra=DISK)
    vm.step()
    stats, exits = vm.step()
    vm.end()
    print(f"block: {sum(exits.values())} exits to user space, {stats['npf'] / 2000:.3f} doorbells, "
          f"{stats['exits'] / 2000:.2f} exits in all per request")
    # The console's own line of the step is not a block request: its doorbell is an eventfd as well.
    assert sum(exits.values()) == 0, exits
    assert 0.95 * 2000 <= stats["npf"] <= 1.05 * 2000, stats


def test_exits_per_block_request_by_mmio(host):
    """A read of the interrupt status and its acknowledgement go to user space; the doorbell and the interrupt's end do not."""
    vm = Phases(host, ["dd if=/dev/vda of=/dev/null bs=4k count=100 iflag=direct 2>/dev/null",
                       "dd if=/dev/vda of=/dev/null bs=4k count=2000 iflag=direct 2>/dev/null"],
                extra=DISK.replace("\n", " loc 0x1c0d0000 intr myioapic:16\n"))
    vm.step()
    stats, exits = vm.step()
    vm.end()
    print(f"block by MMIO: {exits} exits to user space, {sum(exits.values()) / 2000:.3f} a request; "
          f"{stats['exits'] / 2000:.2f} exits in all per request")
    assert set(exits) <= {"KVM_EXIT_MMIO"}, exits
    assert 0.95 * 2 * 2000 <= exits["KVM_EXIT_MMIO"] <= 2 * 2000, exits


def test_exits_per_network_request(host):
    host.run(TAP)
    vm = Phases(host, ["ip link set eth0 up; ip addr add 10.9.9.2/24 dev eth0; ping -c 2 10.9.9.1 > /dev/null",
                       "ping -c 1000 -i 0.001 10.9.9.1 | grep received > /tmp/r"], extra=NET)
    vm.step()
    stats, exits = vm.step()
    vm.end()
    print(f"net: {sum(exits.values())} exits to user space, {stats['npf'] / 1000:.3f} doorbells, "
          f"{stats['exits'] / 1000:.2f} exits in all per request and answer")
    assert sum(exits.values()) == 0, exits
    assert stats["npf"] <= 1.05 * 1000, stats


def test_private_memory(host):
    """qvm with disk, network and console: everything but the guest's RAM, shared pages not counted."""
    host.run(TAP)
    vm = Phases(host, ["dd if=/dev/vda of=/dev/null bs=64k count=400 iflag=direct 2>/dev/null; "
                       "ip link set eth0 up; ip addr add 10.9.9.2/24 dev eth0; ping -c 3 10.9.9.1 > /dev/null"], extra=DISK + NET)
    vm.step()
    smaps = host.run("cat /proc/$(pgrep -x qvm)/smaps").text
    vm.end()
    kilobytes, size = 0, 0
    for key, value in re.findall(r"^(\w+): +(\d+) kB", smaps, re.M):
        if key == "Size":
            size = int(value)
        if key.startswith("Private_") and key != "Private_Hugetlb" and size < 200 * 1024:
            kilobytes += int(value)
    print(f"private memory: {kilobytes} kB")
    assert kilobytes <= 1500
