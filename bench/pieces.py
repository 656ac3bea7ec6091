# SPDX-License-Identifier: Apache-2.0
"""What is measured. A piece is one round of one group: each machine of the group once, alternately, on one board boot, so
that its numbers may be divided by one another. It gives {machine: {quantity: number}}."""
import dataclasses
import re

from bench import machines
from lab import passing

PREPARE = f"""
mkdir -p /tmp/b
mountpoint -q /sys/kernel/tracing || mount -t tracefs t /sys/kernel/tracing
mountpoint -q /sys/kernel/debug || mount -t debugfs d /sys/kernel/debug
[ -e /tmp/b/disk ] || head -c {machines.DISK_MIB}M /dev/zero > /tmp/b/disk
[ -p /tmp/b/console ] || mkfifo /tmp/b/console
[ -e /sys/class/net/bhb0 ] || {{ ip tuntap add dev bhb0 mode tap && ip addr add {machines.BOARD_ADDRESS}/24 dev bhb0 && ip link set bhb0 up; }}
ip link set lo up
pgrep -x traffic > /dev/null || setsid /payload/traffic serve 0.0.0.0 < /dev/null > /dev/null 2>&1 &
cat /payload/vmlinu* /payload/initrd-* > /dev/null
"""
PREPARE_PASS = "/payload/qvm-pass bind " + " ".join(passing.host_name(name) for name in machines.PASSED) + " > /dev/null\n"


def prepare(board):
    """What is run on a board first."""
    return PREPARE + (PREPARE_PASS if machines.BOARDS[board].iommu else "")


def _rate(what="count", unit=1):
    return lambda mark: mark[what] / unit / mark["us"] * 1e6


@dataclasses.dataclass(frozen=True)
class Guest:
    """What a guest does with its devices. counted: {name: (load, few, many)}; between two stops each, once with few and once with many
    requests: the stops themselves and what goes on besides fall out. measured: {name: (load, number of what it prints)}."""
    begin: tuple
    counted: dict
    measured: dict

    def script(self):
        """The lines; one that fails ends the guest."""
        lines = ["stty -echo", *self.begin, "echo @@memory="]
        for name, (load, few, many) in self.counted.items():
            lines += [f'echo "@@{name}0?"', "read x", f"{load.format(n=few)} > /tmp/r", f'echo "@@{name}1?"', "read x",
                      f"{load.format(n=many)} > /tmp/r", f'echo "@@{name}2?"', "read x"]
        lines += ["echo @@rates"]
        for name, (load, _) in self.measured.items():
            lines += [f"r=$({load})", f'echo "@@{name} $r"']
        return "\n".join(lines) + "\necho @@bye\n"

    def marks(self):
        """The marks that its life leaves."""
        return ("memory", *(f"{name}2" for name in self.counted), *self.measured, "bye", "end")

    def values(self, marks):
        """What they mean: each count for one request."""
        values = {"private": marks["memory"]["private"]}
        for name, (_, few, many) in self.counted.items():
            for key in ("exits", "user", "npf", "hlt", "msr", "intr"):
                less, more = (marks[f"{name}{i + 1}"][key] - marks[f"{name}{i}"][key] for i in range(2))
                values[f"{name}_{key}"] = (more - less) / (many - few)
        return values | {name: number(marks[name]) for name, (_, number) in self.measured.items()}


SECONDS = 2
DEVICES = Guest(
    ("ip link set eth0 up", "ip addr add 10.9.9.2/24 dev eth0", "traffic ping $PEER 20 > /tmp/r",
     "traffic disk /dev/vda read 4096 8 1s > /tmp/r"),
    {"disk": ("traffic disk /dev/vda read 4096 1 {n}", 100, 1100), "net": ("traffic ping $PEER {n}", 100, 1100)},
    {"disk_read_1": (f"traffic disk /dev/vda read 4096 1 {SECONDS}s", _rate()),
     "disk_write_1": (f"traffic disk /dev/vda write 4096 1 {SECONDS}s", _rate()),
     "disk_read_32": (f"traffic disk /dev/vda read 4096 32 {SECONDS}s", _rate()),
     "disk_stream": (f"traffic stream /dev/vda 131072 {SECONDS}s", _rate("bytes", 1e6)),
     "net_ping": ("traffic ping $PEER 500", _rate()),
     "net_send": (f"traffic send $PEER {SECONDS}", _rate("bytes", 1e6)),
     "net_receive": (f"traffic receive $PEER {SECONDS}", _rate("bytes", 1e6)),
     "console": (f"traffic console /dev/hvc0 {SECONDS}", _rate("bytes", 1e6))})

# A passed NIC's other end is QEMU around the board, which answers a ping itself. The disk's blocks are written once, then compared.
PINGS = 500
PING = f"ping -A -q -c {{n}} {machines.OUTSIDE_ADDRESS}"
NVME, NIC = "/dev/nvme0n1", f"/sys/bus/pci/devices/{passing.host_name('nic')}/net"
PASSED = Guest(
    ("await() { for i in $(seq 300); do eval \"$1\" 2> /dev/null && return; usleep 100000; done; echo missing: \"$1\"; exit 1; }",
     f"await '[ -b {NVME} ]'; await '[ -c /dev/dsp ]'; SEED=$(hexdump -n 4 -e '1/4 \"%u\"' /dev/urandom)", f"N=$(ls {NIC}); ip link set $N up; ip addr add 10.0.2.15/24 dev $N",
     "await '[ $(cat /sys/class/net/$N/carrier) = 1 ]'", f"{PING.format(n=5)} > /tmp/r", "traffic ping $PEER 5 > /tmp/r",
     f"traffic disk {NVME} read 4096 8 1s > /tmp/r", "tone 660 0.2 > /tmp/r"),
    {"disk": (f"traffic disk {NVME} read 4096 1 {{n}}", 100, 1100), "net": (PING, 50, 550), "sound": ("tone 660 {n}", 1, 3)},
    {"disk_write_1": (f"traffic disk {NVME} write 4096 1 4000 $SEED", _rate()),
     "disk_read_1": (f"traffic disk {NVME} read 4096 1 4000 $SEED", _rate()),
     "disk_write_32": (f"traffic disk {NVME} write 4096 32 12000 $((SEED + 1))", _rate()),
     "disk_read_32": (f"traffic disk {NVME} read 4096 32 12000 $((SEED + 1))", _rate()),
     "net_ping": (PING.format(n=PINGS) + " | sed -n 's/.* \\([0-9]*\\) packets received.*/received=\\1/p; "
                  "s|.* = [0-9.]*/\\([0-9.]*\\)/.*|ms=\\1|p' | tr '\\n' ' '", lambda mark: mark["ms"] * 1000),
     "net_send": (f"traffic send $PEER {SECONDS}", _rate("bytes", 1e6)),
     "net_receive": (f"traffic receive $PEER {SECONDS}", _rate("bytes", 1e6))})
DEVICES_TIMEOUT = 240  # three to six times what it takes: a guest that hangs must not cost a short run its time


def script(board):
    """What the guest with devices runs on a board."""
    return (PASSED if machines.BOARDS[board].iommu else DEVICES).script()


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
        raise Incomplete(f"{command[-200:]}: no {', '.join(missing)}; it said: {said.text[-300:]} {said.error[-1500:]}")
    return marks


def _linux(host, what, machine, **options):
    """The marks of a stock guest's life."""
    return _meter(host, machines.command(machines.ARCHS[host.machine.name], what, machine), **options)


def boot(host, machine):
    """Start to init and to the end, with KVM's counts."""
    marks = _linux(host, "boot", machine, need=("init", "bye", "end"))
    init = marks["init"]
    # A doorbell or a register in memory is a nested page fault to the processor; what is left is memory that was touched first.
    return {"exits": init["exits"], "user": init["user"], "npf": init["npf"], "faults": init["npf"] - init["mmio"],
            "own": init["exits"] - init["intr"], "rest": init["exits"] - init["intr"] - init["msr"],
            "first": init["first"] / 1000, "init": init["us"] / 1e6, "end": (marks["end"]["us"] - marks["bye"]["us"]) / 1000}


def boot_pvh(host, machine):
    """The same with an ELF kernel that is entered by its PVH note."""
    return boot(host, machine.removesuffix("+pvh") + "+pvh")


def devices(host, machine):
    """One guest with all devices under every load."""
    host.run("setsid sh -c 'wc -c < /tmp/b/console > /tmp/b/arrived' < /dev/null > /dev/null 2>&1 &")
    marks = _linux(host, "devices", machine, timeout=DEVICES_TIMEOUT, need=DEVICES.marks())
    arrived = int(host.run("for i in 1 2 3 4 5 6 7 8 9; do s=$(cat /tmp/b/arrived); [ -n \"$s\" ] && break; sleep 0.2; done; "
                           "echo $s").text or 0)
    values, sent = DEVICES.values(marks), marks["console"]["bytes"]
    values["console_lost"] = sent - arrived
    values["console"] *= max(0, arrived) / sent
    return values


def devices_mmio(host, machine):
    """The same with the devices at fixed places, which the device tree tells of."""
    return devices(host, machine + "+mmio")


def passed(host, machine):
    """One guest with devices of the host, which it drives itself."""
    marks = _linux(host, "pass", machine, timeout=DEVICES_TIMEOUT, need=PASSED.marks())
    if marks["net_ping"]["received"] != PINGS:
        raise Incomplete(f"{machine}: {marks['net_ping']['received']:.0f} of {PINGS} pings were answered")
    return PASSED.values(marks)


def _read(host, command):
    """The marks of the guest that reads one port or register, and microseconds of one read. What else runs on the machine around the board
    only adds: the fastest of many is the one that counts, by the guest's own reading of the TSC or of the counter."""
    marks = _meter(host, command, "-u fastest", need=("fastest",))
    fastest = marks["fastest"]
    hertz = fastest.get("hz") or 1e6 * float(host.run("dmesg | sed -n 's/.*tsc: Detected \\([0-9.]*\\) MHz.*/\\1/p' | head -n 1").text)
    return marks, fastest["c"] / hertz * 1e6


def read(host, machine):
    """Microseconds of one read of a port or register that the VMM answers."""
    return {"read": _read(host, machines.read_command(machines.ARCHS[host.machine.name], machine))[1]}


def _regions(n):
    """n pieces of RAM with a hole behind each."""
    return "ram 1m\n" + "".join(f"ram {(16 << 20) + i * (64 << 10):#x},32k\n" for i in range(n - 1)) + \
        "load 0x8000,/payload/read.bin\n" + machines.PLATFORM


def _vdevs(n):
    return "ram 1m\nload 0x8000,/payload/read.bin\n" + machines.PLATFORM + \
        "".join(f"vdev ser8250 loc {0x2000 + i * 8:#x} hostdev >/dev/null\n" for i in range(n - 1))


GROWTH = {"regions": (_regions, (1, 10, 50, 200)), "vdevs": (_vdevs, (1, 4, 16, 64))}
VMS = (1, 2, 4, 8, 16)


def grow(host, quantity):
    """{number of things: what one VM costs}: first entry, a port's read, private memory; for `vms` all of them together."""
    values = {}
    if quantity == "vms":
        for n in VMS:
            script = (f"start=$EPOCHREALTIME; for i in $(seq {n}); do /payload/meter -t 60 -u start /payload/qvm "
                      "@/payload/read.qvmconf > /tmp/b/vm$i & done; wait; end=$EPOCHREALTIME; cat /tmp/b/vm*; "
                      "echo all us=$((${end/./} - ${start/./})); rm -f /tmp/b/vm*")
            said = host.run(script, timeout=120).text
            if len(re.findall(r"^start ", said, re.M)) != n:
                raise Incomplete(f"{n} VMs: {said[-300:]}")
            values[f"start {n}"] = _marks(said)["all"]["us"] / 1000
        return values
    make, numbers = GROWTH[quantity]
    for n in numbers:
        host.push(make(n).encode(), "/tmp/b/grow.qvmconf")
        marks, values[f"read {n}"] = _read(host, "/payload/qvm @/tmp/b/grow.qvmconf")
        values[f"first {n}"] = marks["end"]["first"] / 1000
    return values


# group: (how one machine is measured, the machines, the board)
GROUPS = {
    "boot": (boot, ("qvm", "microvm", "q35"), "x86_64"),
    "pvh": (boot_pvh, ("qvm", "microvm+pvh", "q35+pvh"), "x86_64"),
    "devices": (devices, ("qvm", "q35", "microvm"), "x86_64"),
    "read": (read, ("bare", "qvm", "microvm", "q35"), "x86_64"),
    "growth": (grow, ("regions", "vdevs", "vms"), "x86_64"),
    "pass": (passed, ("qvm", "q35"), "x86_64-pass"),
    "arm-boot": (boot, ("qvm", "virt"), "aarch64"),
    "arm-devices": (devices, ("qvm", "virt"), "aarch64"),
    "arm-mmio": (devices_mmio, ("qvm", "virt"), "aarch64"),
    "arm-read": (read, ("bare", "qvm", "virt"), "aarch64"),
    "arm-pass": (passed, ("qvm", "virt"), "aarch64-pass"),
}


def order(group, number):
    """Who comes first changes from round to round."""
    names = GROUPS[group][1]
    first = number % len(names)
    return names[first:] + names[:first]
