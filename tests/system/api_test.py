# SPDX-License-Identifier: Apache-2.0
"""The documented vdev API where it needs a guest: instructions, registers, memory that comes and goes while the guest runs."""
import re

import pytest

import guests
from guests import marked

# Commands of tests/vdevs/probe.h.
PROBE = """
mount -t proc proc /proc
run() { for i in 1 2 3; do eval "devmem $((0xfa000000 + 8 * i)) 64 \\${$((i + 1))}"; done; devmem 0xfa000000 64 $1; }
result() { devmem 0xfa000000 64; }
error() { devmem 0xfa000020 64; }
counter() { devmem $((0xfa000028 + 8 * $1)) 64; }
"""
PASS_READ, PASS_WRITE, TRAP_WRITE = 8, 16, 2


def test_processor_says_what_a_vdev_answers(host):
    """The kernel itself reads the register and asks CPUID when it starts; both vCPUs of it show what the vdev says."""
    text = host.linux("mount -t proc proc /proc; grep -E 'model name|microcode' /proc/cpuinfo; echo done=1", cpus=2,
                      extra='vdev cpu-model brand "Control Unit 7 @ 1.20GHz" microcode 0x2006e05\n')
    marked(text, "done")
    assert re.findall(r"model name\s*: (.*)", text) == ["Control Unit 7 @ 1.20GHz"] * 2
    assert re.findall(r"microcode\s*: (.*)", text) == ["0x2006e05"] * 2


def test_a_vdev_changes_the_guests_address_space(host):
    """Memory is passed at run time, then read-only with trapped writes, then trapped, then gone; the guest sees each by /dev/mem."""
    text = host.linux(PROBE + f"""
run 4 0 0x2000 0x1000; at=$(result); echo at=$at
run 1 $at 0x2000 {PASS_READ | PASS_WRITE}; echo set=$(error)
echo first=$(devmem $((at + 0x1ff8)) 64)
devmem $((at + 0x1ff8)) 64 0x1122334455667788
run 15 0x1ff8 0 0; echo host=$(result)
run 1 $at 0x2000 {PASS_READ | TRAP_WRITE}; echo changed=$(error)
devmem $((at + 0x10)) 32 0x77; echo trapped=$(counter 4); echo kept=$(devmem $((at + 0x10)) 32)
run 1 $at 0x2000 3; echo read=$(devmem $((at + 0x10)) 32)
run 1 $at 0x2000 0; echo gone=$(devmem $at 32)
for i in $(seq 10); do run 1 $at 0x2000 {PASS_READ}; devmem $at 32; run 1 $at 0x2000 0; devmem $at 32; done | sort | uniq -c | tr -s ' '
""", extra="vdev probe loc 0xfa000000\n", cpus=2)
    assert int(marked(text, "at"), 16) >= 256 << 20
    assert int(marked(text, "set"), 16) == 0 and int(marked(text, "changed"), 16) == 0
    assert int(marked(text, "first"), 16) == 0xa5a5a5a5a5a5a5a5
    assert int(marked(text, "host"), 16) == 0x1122334455667788
    assert int(marked(text, "trapped"), 16) == 0x77
    assert int(marked(text, "kept"), 16) == 0xa5a5a5a5
    assert int(marked(text, "read"), 16) == 0x7010
    assert int(marked(text, "gone"), 16) == 0xffffffff
    assert "10 0xA5A5A5A5" in text and "10 0xFFFFFFFF" in text


def test_a_vdev_reaches_its_vcpus_state(host):
    """In vwrite: the page tables lead to the kernel's own text; control registers, segments, registers of all kinds, a timer on
    the vCPU; a report on SIGUSR1 and in the dump; a page kept from the guest."""
    host.run("mkdir -p /tmp/t/dumps")
    command = host.start(*_state_guest(), words="dump /tmp/t/dumps")
    command.read_until("ready=1", timeout=90)
    host.run("pkill -USR1 -x qvm; pkill -USR2 -x qvm")
    result = command.wait(timeout=60)
    assert result.status == 0, result.error
    assert "ERROR: AddressSanitizer" not in result.error and "runtime error" not in result.error, result.error[-4000:]
    text = result.text.replace("\r\n", "\n")
    number = {name: int(value, 16) for name, value in re.findall(r"^(\w+)=(0x[0-9A-Fa-f]+)$", text, re.M)}
    assert number["banner"].to_bytes(8, "little") == b"Linux ve"
    assert number["nowhere"] == 0xffffffffffffffff  # -1: the guest must get an exception
    assert number["cr0"] & 0x80000001 == 0x80000001
    assert number["cs"] >> 32 & 0xffff == 0x33
    assert number["star"] >> 32 == 0x00230010
    assert number["written"] == 0x1234
    assert number["no_msr"] == 0xffffffffffffffff
    assert number["dr7"] & 0x400
    assert number["fcw"] & 0xffff == 0x37f
    assert number["rip"] == 1  # EPERM
    assert number["timer"] == 0x100
    assert number["waits"] > 0
    assert number["late"] == 0x1ff
    assert "vdev probe: guest_timer_create is a call of the start-up stage: it is refused" in result.error
    assert "0fff0000-0fffffff : Reserved" in text
    assert re.search(r"status: vdev probe at address 0xfa000000", result.error) and "traps=" in result.error
    host.run("grep -q 'traps=' /tmp/t/dumps/*.gcore")


# Both queues are used at once; the driver is taken away and given back under load; the data stays what it was.
DISK = """
mount -t sysfs sys /sys; mount -t proc proc /proc; mkdir -p /mnt
dev=$(cd /sys/block; echo vd*); virtio=$(basename $(readlink -f /sys/block/$dev/device))
echo queues=$(ls /sys/block/$dev/mq | wc -l) serial=$(cat /sys/block/$dev/serial)
dd if=/dev/urandom of=/tmp/data bs=64k count=64 2> /dev/null
dd if=/tmp/data of=/dev/$dev bs=256k oflag=direct 2> /dev/null
for cpu in 0 1; do taskset $((1 << cpu)) dd if=/dev/$dev bs=64k iflag=direct 2> /dev/null | cmp - /tmp/data && echo same$cpu=yes; done
for i in 1 2 3 4 5; do
    dd if=/dev/$dev of=/dev/null bs=4k iflag=direct 2> /dev/null & dd if=/tmp/data of=/dev/$dev bs=4k oflag=direct 2> /dev/null &
    usleep 50000; echo $virtio > /sys/bus/virtio/drivers/virtio_blk/unbind; wait
    echo $virtio > /sys/bus/virtio/drivers/virtio_blk/bind; dev=$(cd /sys/block; echo vd*)
done
dd if=/tmp/data of=/dev/$dev bs=64k oflag=direct 2> /dev/null; echo 3 > /proc/sys/vm/drop_caches
cmp /dev/$dev /tmp/data && echo after=yes
grep virtio /proc/interrupts
"""


@pytest.mark.parametrize("place", ["", "loc 0x1c0d0000 intr myioapic:16"], ids=["pci", "mmio"])
def test_a_vdev_with_a_worker_of_its_own_serves_linux(host, place):
    """Documented calls alone: a thread from OPTIONS_END on, two queues by NOTIFY, DMA by mappings, a reset that waits."""
    text = host.linux(DISK, extra=f"vdev ramblk {place} size 4194304 serial by-hand\n", cpus=2)
    assert "queues=2 serial=by-hand" in text
    assert bool(re.search(r"IO-APIC +16-fasteoi +virtio\d", text)) == bool(place), text[-3000:]
    assert marked(text, "same0") == marked(text, "same1") == marked(text, "after") == "yes"


def _state_guest():
    script = PROBE + """
banner=$(grep ' linux_banner$' /proc/kallsyms | cut -d' ' -f1)
read() { run 5 $1 $2 0; }
read 1 0x$banner; echo banner=$(result)
read 1 0x1000; echo nowhere=$(error)
read 0x8002 0; echo cr0=$(result)
read 0x8001 8; echo cs=$(result)
read 0x8004 0xc0000081; echo star=$(result)
run 6 0x8004 0xc0000103 0x1234; read 0x8004 0xc0000103; echo written=$(result)
read 0x8004 0x9999; echo no_msr=$(error)
read 0x8003 40; echo dr7=$(result)
read 3 128; echo fcw=$(result)
run 6 2 128 0; echo rip=$(error)
run 16 1000000 0 0; sleep 1; echo timer=$(counter 6)
echo waits=$(counter 7)
run 8 0 0 0; echo late=$(result)
grep Reserved /proc/iomem
echo ready=1; sleep 8
"""
    return guests.linux(script, extra="vdev probe loc 0xfa000000 keep 64k\n", cmdline="nokaslr")
