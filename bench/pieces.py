# SPDX-License-Identifier: Apache-2.0
"""What is measured. A piece is one round of one group: each machine of the group once, alternately, on one board boot, so
that its numbers may be divided by one another. It gives {machine: {quantity: number}}."""
import re

from bench import machines

PREPARE = f"""
mkdir -p /tmp/b
mountpoint -q /sys/kernel/tracing || mount -t tracefs t /sys/kernel/tracing
mountpoint -q /sys/kernel/debug || mount -t debugfs d /sys/kernel/debug
[ -e /tmp/b/disk ] || head -c {machines.DISK_MIB}M /dev/zero > /tmp/b/disk
[ -p /tmp/b/console ] || mkfifo /tmp/b/console
[ -e /sys/class/net/bhb0 ] || {{ ip tuntap add dev bhb0 mode tap && ip addr add 10.9.9.1/24 dev bhb0 && ip link set bhb0 up; }}
ip link set lo up
pgrep -x traffic > /dev/null || setsid /payload/traffic serve < /dev/null > /dev/null 2>&1 &
cat /payload/vmlinux /payload/vmlinuz /payload/initrd-* > /dev/null
"""

# Counted between two stops, once with few and once with many requests: the stops themselves and what goes on besides fall out.
FEW, MANY = 100, 1100
COUNTED = {"disk": "traffic disk /dev/vda read 4096 1 {n}", "net": "traffic ping 10.9.9.1 {n}"}
# What is timed, and whether requests or megabytes are counted.
TIMED = {
    "disk_read_1": ("traffic disk /dev/vda read 4096 1 {s}s", "count", 1),
    "disk_write_1": ("traffic disk /dev/vda write 4096 1 {s}s", "count", 1),
    "disk_read_32": ("traffic disk /dev/vda read 4096 32 {s}s", "count", 1),
    "disk_stream": ("traffic stream /dev/vda 131072 {s}s", "bytes", 1e6),
    "net_ping": ("traffic ping 10.9.9.1 500", "count", 1),
    "net_send": ("traffic send 10.9.9.1 {s}", "bytes", 1e6),
    "net_receive": ("traffic receive 10.9.9.1 {s}", "bytes", 1e6),
    "console": ("traffic console /dev/hvc0 {s}", "bytes", 1e6),
}
SECONDS = 2
DEVICES_TIMEOUT = 240  # three to six times what it takes: a guest that hangs must not cost a short run its time


def device_script():
    """What the guest with devices runs."""
    lines = ["stty -echo", "ip link set eth0 up", "ip addr add 10.9.9.2/24 dev eth0", "traffic ping 10.9.9.1 20 > /tmp/r",
             "traffic disk /dev/vda read 4096 8 1s > /tmp/r", "echo @@memory="]
    for name, load in COUNTED.items():
        lines += [f'echo "@@{name}0?"', "read x", f"{load.format(n=FEW)} > /tmp/r", f'echo "@@{name}1?"', "read x",
                  f"{load.format(n=MANY)} > /tmp/r", f'echo "@@{name}2?"', "read x"]
    lines += ["echo @@rates"]
    for name, (load, _, _) in TIMED.items():
        lines += [f"r=$({load.format(s=SECONDS)})", f'echo "@@{name} $r"']
    return "\n".join(lines) + "\necho @@bye\n"


def _marks(text):
    """{mark: {key: number}} of meter's output."""
    marks = {}
    for line in text.splitlines():
        name, *words = line.split()
        marks[name] = {key: float(int(value, 16) if value.startswith("0x") else value)
                       for key, value in (word.split("=") for word in words if re.match(r"\w+=-?\d", word))}
    return marks


class Incomplete(Exception):
    """A VM did not say all that was wanted."""


def _meter(host, command, words="", timeout=180, need=()):
    said = host.run(f"/payload/meter -t {timeout} -e /tmp/b/errors {words} {command}; rc=$?; tail -n 3 /tmp/b/errors >&2; exit $rc",
                    timeout=timeout + 30, check=False)
    marks = _marks(said.text)
    missing = [name for name in need if name not in marks]
    if missing:
        raise Incomplete(f"{command[-200:]}: no {', '.join(missing)}; it said: {said.text[-300:]} {said.error[-500:]}")
    return marks


def boot(host, machine):
    """Start to init and to the end, with KVM's counts."""
    marks = _meter(host, machines.boot_command(machine), need=("init", "bye", "end"))
    init = marks["init"]
    # A doorbell or a register in memory is a nested page fault to the processor; what is left is memory that was touched first.
    return {"exits": init["exits"], "user": init["user"], "npf": init["npf"], "faults": init["npf"] - init["mmio"], "own": init["exits"] - init["intr"], "hlt": init["hlt"], "msr": init["msr"],
            "first": init["first"] / 1000, "init": init["us"] / 1e6, "end": (marks["end"]["us"] - marks["bye"]["us"]) / 1000}


def boot_pvh(host, machine):
    """The same with an ELF kernel that is entered by its PVH note."""
    return boot(host, machine.removesuffix("+pvh") + "+pvh")


def devices(host, machine):
    """One guest with all devices under every load."""
    host.run("setsid sh -c 'wc -c < /tmp/b/console > /tmp/b/arrived' < /dev/null > /dev/null 2>&1 &")
    need = ("memory", "disk2", "net2", *TIMED, "bye", "end")
    marks = _meter(host, machines.devices_command(machine), timeout=DEVICES_TIMEOUT, need=need)
    arrived = int(host.run("for i in 1 2 3 4 5 6 7 8 9; do s=$(cat /tmp/b/arrived); [ -n \"$s\" ] && break; sleep 0.2; done; "
                           "echo $s").text or 0)
    values = {"private": marks["memory"]["private"]}
    for name in COUNTED:
        for key in ("exits", "user", "npf", "hlt", "msr", "intr"):
            few, many = (marks[f"{name}{i + 1}"][key] - marks[f"{name}{i}"][key] for i in range(2))
            values[f"{name}_{key}"] = (many - few) / (MANY - FEW)
    for name, (_, what, unit) in TIMED.items():
        values[name] = marks[name][what] / unit / marks[name]["us"] * 1e6
    values["console_lost"] = marks["console"]["bytes"] - arrived
    values["console"] *= max(0, arrived) / marks["console"]["bytes"]
    return values


def _pio(host, command):
    """The marks of the guest that reads one port, and microseconds of one read. What else runs on the machine around the board
    only adds: the fastest of many is the one that counts, by the guest's own reading of the TSC."""
    marks = _meter(host, command, "-u fastest", need=("fastest",))
    megahertz = host.run("dmesg | sed -n 's/.*tsc: Detected \\([0-9.]*\\) MHz.*/\\1/p' | head -n 1").text
    return marks, marks["fastest"]["c"] / float(megahertz)


def pio(host, machine):
    """Microseconds of one read of a port that the VMM answers."""
    return {"pio": _pio(host, machines.pio_command(machine))[1]}


def _regions(n):
    """n pieces of RAM with a hole behind each."""
    return "ram 1m\n" + "".join(f"ram {(16 << 20) + i * (64 << 10):#x},32k\n" for i in range(n - 1)) + \
        "load 0x8000,/payload/pio.bin\n" + machines.PLATFORM


def _vdevs(n):
    return "ram 1m\nload 0x8000,/payload/pio.bin\n" + machines.PLATFORM + \
        "".join(f"vdev ser8250 loc {0x2000 + i * 8:#x} hostdev >/dev/null\n" for i in range(n - 1))


GROWTH = {"regions": (_regions, (1, 10, 50, 200)), "vdevs": (_vdevs, (1, 4, 16, 64))}
VMS = (1, 2, 4, 8, 16)


def grow(host, quantity):
    """{number of things: what one VM costs}: first entry, a port's read, private memory; for `vms` all of them together."""
    values = {}
    if quantity == "vms":
        for n in VMS:
            script = (f"start=$EPOCHREALTIME; for i in $(seq {n}); do /payload/meter -t 60 -u start /payload/qvm "
                      "@/payload/pio.qvmconf > /tmp/b/vm$i & done; wait; end=$EPOCHREALTIME; cat /tmp/b/vm*; "
                      "echo all us=$((${end/./} - ${start/./})); rm -f /tmp/b/vm*")
            said = host.run(script, timeout=120).text
            if len(re.findall(r"^start ", said, re.M)) != n:
                raise Incomplete(f"{n} VMs: {said[-300:]}")
            values[f"start {n}"] = _marks(said)["all"]["us"] / 1000
        return values
    make, numbers = GROWTH[quantity]
    for n in numbers:
        host.push(make(n).encode(), "/tmp/b/grow.qvmconf")
        marks, values[f"pio {n}"] = _pio(host, "/payload/qvm @/tmp/b/grow.qvmconf")
        values[f"first {n}"] = marks["end"]["first"] / 1000
    return values


# group: (how one machine is measured, the machines)
GROUPS = {
    "boot": (boot, ("qvm", "microvm", "q35")),
    "pvh": (boot_pvh, ("qvm", "microvm+pvh", "q35+pvh")),
    "devices": (devices, ("qvm", "q35", "microvm")),
    "pio": (pio, ("bare", "qvm", "microvm", "q35")),
    "growth": (grow, ("regions", "vdevs", "vms")),
}


def order(group, number):
    """Who comes first changes from round to round."""
    names = GROUPS[group][1]
    first = number % len(names)
    return names[first:] + names[:first]
