# SPDX-License-Identifier: Apache-2.0
"""The VirtIO vdevs under a stock guest's own drivers: found by PCI, data whole in every direction."""
import hashlib
import os
import re

import pytest

import guests
from guests import marked

SCRATCH = "vdev virtio-blk hostdev /dev/board/scratch name virtio-blk_qvm178\n"
TOOLS = "vdev virtio-blk hostdev </payload/tools.squashfs\n"
NET = "vdev virtio-net tapdev bh0 mac 02:00:00:00:00:01 name net0\n"
TAP = "ip tuntap add dev bh0 mode tap && ip addr add 10.9.9.1/24 dev bh0 && ip link set bh0 up"
LIST = "for d in /sys/bus/pci/devices/*; do echo pci ${d##*/} $(cat $d/vendor $d/device $d/class $d/subsystem_vendor); done\n"


def test_pci_list_in_configuration_order(host):
    """Bridge, disk, network, shared memory, console: successive device numbers, the classes and ids that VirtIO and QNX name."""
    text = host.linux(LIST + "ls /sys/bus/virtio/drivers/*/ -d; for v in /sys/bus/virtio/devices/*; do "
                      "echo driver $(basename $(readlink $v/driver)); done", extra=SCRATCH + NET + "vdev shmem\n", before=TAP)
    found = re.findall(r"^pci 0000:(\S+) 0x(\S+) 0x(\S+) 0x(\S+) 0x(\S+)", text, re.M)
    assert [(bdf, f"{v}:{d}", c, s) for bdf, v, d, c, s in found] == [
        ("00:00.0", "1c05:0002", "060000", "1c05"),
        ("00:01.0", "1af4:1042", "018000", "1c05"),
        ("00:02.0", "1af4:1041", "028000", "1c05"),
        ("00:03.0", "1c05:0001", "058000", "1c05"),
        ("00:04.0", "1af4:1043", "078000", "1c05"),
    ]
    assert re.findall(r"^driver (\S+)", text, re.M) == ["virtio_blk", "virtio_net", "virtio_console"]


def test_fixed_pci_place(host):
    text = host.linux(LIST, extra="vdev virtio-entropy loc pci:0:9\n")
    assert "0000:00:09.0 0x1af4 0x1044" in text


def test_block_device_partition_with_a_file_system(host):
    """A partition of a real block device is the guest's disk: files pass both ways. A second disk has a partition table of its own."""
    host.run("printf ',64M,L\\n' | sfdisk -q /dev/board/scratch && partx -u $(readlink -f /dev/board/scratch); "
             "P=$(readlink -f /dev/board/scratch)1; mkfs.ext4 -q -F $P && mkdir -p /tmp/m && mount $P /tmp/m && "
             "head -c 3000000 /dev/urandom > /tmp/m/from-host && sha256sum < /tmp/m/from-host > /tmp/sum && umount /tmp/m && "
             "ln -sf $P /tmp/part; rm -rf /tmp/in; mkdir /tmp/in; cp /tmp/sum /tmp/in; truncate -s 16M /tmp/t/table.img && "
             "printf '2048,8M,L\\n,,L\\n' | sfdisk -q /tmp/t/table.img && mkfs.ext4 -q -F -d /tmp/in -E offset=1048576 /tmp/t/table.img 8M")
    text = host.linux("mount -t ext4 /dev/vda /mnt && echo sum=$(sha256sum < /mnt/from-host) && "
                      "dd if=/dev/urandom of=/mnt/from-guest bs=100k count=20 && echo own=$(sha256sum < /mnt/from-guest) && "
                      "umount /mnt && echo serial=$(cat /sys/block/vda/serial); mount -t ext4 /dev/vdb1 /mnt && echo table=$(cat /mnt/sum) && "
                      "echo hello > /mnt/hello && umount /mnt && echo partitions=$(ls -d /sys/block/vdb/vdb* | wc -l)",
                      extra="vdev virtio-blk hostdev /tmp/part name disk0\nvdev virtio-blk hostdev /tmp/t/table.img\n")
    assert marked(text, "sum").split() == host.run("cat /tmp/sum").text.split()
    own = host.run("mount /tmp/part /tmp/m && sha256sum < /tmp/m/from-guest; umount /tmp/m").text.split()
    assert marked(text, "own").split() == own
    assert marked(text, "table").split() == marked(text, "sum").split() and marked(text, "partitions") == "2"
    assert host.run("mount -o loop,offset=1048576 /tmp/t/table.img /tmp/m && cat /tmp/m/hello; umount /tmp/m").text == "hello\n"


def test_read_only_disk(host):
    host.run("head -c 1048576 /dev/zero > /tmp/ro.img; cp /tmp/ro.img /tmp/ro.copy")
    text = host.linux("echo ro=$(cat /sys/block/vda/ro); echo x > /dev/vda || echo refused=yes",
                      extra="vdev virtio-blk hostdev </tmp/ro.img\n")
    assert marked(text, "ro") == "1"
    host.run("cmp /tmp/ro.img /tmp/ro.copy")


@pytest.mark.parametrize("cpus,options", [(1, ""), (4, " dio enable threads 2")])
def test_verified_random_io(host, cpus, options):
    """fio, from a second, read-only disk, writes at random places and reads back what it wrote."""
    script = ("mount -o ro -t squashfs /dev/vdb /mnt && mount -t devtmpfs dev /mnt/dev && mount -t tmpfs tmpfs /mnt/tmp && "
              "mount -t proc proc /mnt/proc; "
              "chroot /mnt fio --name=v --filename=/dev/vda --rw=randrw --bsrange=512-65536 --size=24m --io_size=24m "
              f"--direct=1 --ioengine=libaio --iodepth=16 --numjobs={cpus} --offset_increment=32m --verify=crc32c "
              "--verify_fatal=1 --group_reporting --randrepeat=0 > /tmp/fio.log 2>&1; echo fio=$?; "
              "grep -iE 'err=|verify|bad' /tmp/fio.log")
    text = host.linux(script, cpus=cpus, timeout=240, extra=SCRATCH.replace("\n", options + "\n") + TOOLS)
    assert marked(text, "fio") == "0", text[-3000:]
    assert "err= 0" in text


def test_console_is_lossless_with_a_slow_reader(host):
    """16 MiB out of the console through a pipe that is read in bursts: every byte arrives, in order."""
    data = hashlib.shake_256(b"console").digest(12 << 20).hex().encode()[:16 << 20]
    host.board.push(data, "/tmp/data", timeout=120)
    configuration, archive = guests.linux("stty -F /dev/hvc0 raw -opost -echo; echo BEGIN; cat /dev/vda; echo END",
                                          extra="vdev virtio-blk hostdev </tmp/data\n")
    host.prepare(configuration, archive)
    slow = "(sleep 12; for i in $(seq 64); do head -c 262144; sleep 0.02; done; cat)"
    host.run(f"{host.command()} < /dev/null | {slow} > /tmp/out", timeout=200)
    out = host.board.fetch("/tmp/out", timeout=120)
    begin = out.index(b"BEGIN\n") + 6
    end = out.find(b"END\n", begin)
    assert end - begin == len(data)
    wrong = [at for at in range(0, len(data), 4096) if out[begin + at:begin + at + 4096] != data[at:at + 4096]]
    assert not wrong, (len(wrong), wrong[:10], [data.find(out[begin + at:begin + at + 4096]) for at in wrong[:10]])


def test_console_input(host):
    configuration, archive = guests.linux("echo ready; read line; echo got=$line; stty -F /dev/hvc0 raw -echo; echo raw; "
                                          "head -c 300000 | md5sum | sed s/^/sum=/")
    host.prepare(configuration, archive)
    command = host.board.popen(f"exec {host.command()}")
    command.read_until("ready", timeout=90)
    command.write(b"hello guest\n")
    command.read_until("got=hello guest", timeout=30)
    command.read_until("raw", timeout=30)
    data = os.urandom(150000).hex().encode()  # no control bytes: one of them is the kernel's sysrq key
    command.write(data)
    command.read_until("sum=" + hashlib.md5(data).hexdigest(), timeout=60)
    assert command.wait(timeout=60).status == 0


def test_network_through_a_tap(host, machine):
    """Ping, and 8 MiB of random bytes in each direction over TCP."""
    script = ("ip link set eth0 up; ip addr add 10.9.9.2/24 dev eth0; ping -c 3 10.9.9.1; "
              "nc 10.9.9.1 7001 < /dev/null > /tmp/in; echo down=$(md5sum < /tmp/in); "
              "dd if=/dev/urandom of=/tmp/up bs=64k count=128 2>/dev/null; nc 10.9.9.1 7002 < /tmp/up; "
              "echo up=$(md5sum < /tmp/up); echo mac=$(cat /sys/class/net/eth0/address)")
    text = host.linux(script, extra=NET, timeout=150, before=TAP + """
        head -c 8388608 /dev/urandom > /tmp/down
        setsid socat -u FILE:/tmp/down TCP-LISTEN:7001,reuseaddr > /dev/null 2>&1 < /dev/null &
        setsid socat -u TCP-LISTEN:7002,reuseaddr OPEN:/tmp/up,creat,trunc > /dev/null 2>&1 < /dev/null &""")
    assert "3 packets received" in text
    assert marked(text, "down").split()[0] == host.run("md5sum < /tmp/down").text.split()[0]
    assert marked(text, "up").split()[0] == host.run("sleep 0.5; md5sum < /tmp/up").text.split()[0]
    assert marked(text, "mac") == "02:00:00:00:00:01"


def test_entropy_device(host):
    text = host.linux("echo rng=$(cat /sys/class/misc/hw_random/rng_current); head -c 4096 /dev/hwrng | sort -u | wc -c | "
                      "sed s/^/bytes=/", extra="vdev virtio-entropy\n")
    assert marked(text, "rng").startswith("virtio_rng")
    assert int(marked(text, "bytes")) > 4000


def test_a_disk_is_given_to_one_vm_only(host):
    configuration, archive = guests.linux("echo ready; sleep 60", extra=SCRATCH)
    command = host.start(configuration, archive)
    command.read_until("ready", timeout=90)
    second = host.board.run(host.command(), check=False)
    assert second.status == 64
    assert "/dev/board/scratch" in second.error
    host.run("pkill -QUIT -x qvm")
    assert command.wait(timeout=30).status == 3


def test_drivers_come_and_go(host):
    """Remove and rescan, unbind and bind: resets with the disk in use."""
    script = ("for i in 1 2 3; do (dd if=/dev/vda of=/dev/null bs=64k count=400 2>/dev/null &); usleep 30000; "
              "echo 1 > /sys/bus/pci/devices/0000:00:01.0/remove; sleep 1; echo 1 > /sys/bus/pci/rescan; sleep 1; done; "
              "dd if=/dev/vda of=/dev/null bs=64k count=100 2>&1 | grep copied; echo size=$(cat /sys/block/vd?/size)")
    text = host.linux(script, extra=SCRATCH, timeout=150)
    assert marked(text, "size") == str(4 << 21)
