# SPDX-License-Identifier: Apache-2.0
"""Counts and sizes that the specification claims, read from KVM and the kernel, on the release build."""
import re

import guests

DISK = "vdev virtio-blk hostdev /dev/board/scratch name disk0\n"
NET = "vdev virtio-net tapdev bh0 name net0\n"
TAP = "ip tuntap add dev bh0 mode tap && ip addr add 10.9.9.1/24 dev bh0 && ip link set bh0 up"
TRACE = "/sys/kernel/tracing"


class Phases:
    """A guest that waits for a line between its steps; KVM's statistics at each stop."""

    def __init__(self, host, steps, extra):
        script = "stty -F /dev/hvc0 -echo; " + "".join(f"echo stop{i}; read x; {step}\n" for i, step in enumerate(steps))
        script += f"echo stop{len(steps)}; read x\n"
        host.run(f"mount -t tracefs t {TRACE} 2>/dev/null; echo 0 > {TRACE}/tracing_on; echo > {TRACE}/trace; "
                 f"echo 1 > {TRACE}/events/kvm/kvm_userspace_exit/enable; "
                 f"echo 'exit_reason == 0x400' > {TRACE}/events/kvm/kvm_exit/filter; "  # nested page faults
                 f"echo 1 > {TRACE}/events/kvm/kvm_exit/enable", check=False)
        self.host, self.number = host, 0
        host.prepare(*guests.linux(script, extra=extra))
        self.command = host.board.popen(f"exec {host.command(build='build')}")
        self.command.read_until("stop0", timeout=90)

    def step(self):
        """Runs the next step; returns what it added to KVM's statistics, and its exits to user space by reason. The
        statistics' `npf`, nested page faults, are doorbells here: all memory has been touched before."""
        stats = ("sleep 0.3; cd /sys/kernel/debug/kvm/$(pgrep -x qvm)-*; for f in exits mmio_exits; do echo $f $(cat $f); done; ")
        before = self.host.run(f"{stats} echo > {TRACE}/trace; echo 1 > {TRACE}/tracing_on").text
        self.command.write(b"\n")
        self.number += 1
        self.command.read_until(f"stop{self.number}", timeout=120)
        after = self.host.run(f"{stats} echo 0 > {TRACE}/tracing_on; grep -o 'reason KVM_EXIT_[A-Z]*' {TRACE}/trace "
                              f"| sort | uniq -c; echo npf $(grep -c 'kvm_exit:' {TRACE}/trace)", check=False).text

        def table(text):
            return {name: int(value) for name, value in re.findall(r"^([a-z_]+) (\d+)$", text, re.M)}

        exits = {reason: int(n) for n, reason in re.findall(r"(\d+) reason (KVM_EXIT_\w+)", after)}
        return {name: value - table(before).get(name, 0) for name, value in table(after).items()}, exits

    def end(self):
        self.command.write(b"\n")
        assert self.command.wait(timeout=60).status == 0


def test_exits_per_block_request(host):
    """None goes to user space; the doorbell of a request is one emulated access."""
    vm = Phases(host, ["dd if=/dev/vda of=/dev/null bs=4k count=100 iflag=direct 2>/dev/null",
                       "dd if=/dev/vda of=/dev/null bs=4k count=2000 iflag=direct 2>/dev/null"], DISK)
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
                DISK.replace("\n", " loc 0x1c0d0000 intr myioapic:16\n"))
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
                       "ping -c 1000 -i 0.001 10.9.9.1 | grep received > /tmp/r"], NET)
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
                       "ip link set eth0 up; ip addr add 10.9.9.2/24 dev eth0; ping -c 3 10.9.9.1 > /dev/null"], DISK + NET)
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
