# SPDX-License-Identifier: Apache-2.0
"""What the measurements mean: each row is a quantity of qvm, compared with others by the ratios of pairs.

A pair is two machines in one round, that is alternately on one board boot. Of the ratios of all pairs the median and the
range are given; a range that holds 1 says that the two cannot be told apart. Where there are two peers the better one of
each round is the other half of the pair: `best`.
"""
import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Row:
    """number: as in the targets. group, key: what is read. unit, digits: how it is written. up: more is better.
    peers: whom qvm is divided by. limit: (kind, number): `value` at most (at least, if up) that, or `ratio`, to the
    first peer."""
    number: str
    what: str
    group: str
    key: str
    unit: str = ""
    digits: int = 0
    up: bool = False
    peers: tuple = ()
    limit: tuple = None


BOOT, PVH, NET = ("microvm", "q35"), ("microvm+pvh", "q35+pvh"), ("q35", "microvm")
X86_64 = (
    Row("T1", "exits to init", "boot", "exits", peers=BOOT, limit=("ratio", 1.05)),
    Row("T1", "the same without those by the board's own interrupts", "boot", "own", peers=BOOT),
    Row("T2", "of them to user space", "boot", "user", peers=BOOT, limit=("value", 1000)),
    Row("T3", "nested page faults on memory to init", "boot", "faults", peers=BOOT, limit=("value", 450)),
    Row("T4", "exec to the first entry of the guest", "boot", "first", "ms", peers=BOOT),
    Row("T5", "exec to init", "boot", "init", "s", 2, peers=BOOT, limit=("ratio", 0.85)),
    Row("T1", "by PVH: exits to init", "pvh", "exits", peers=PVH),
    Row("T3", "by PVH: nested page faults on memory to init", "pvh", "faults", peers=PVH, limit=("value", 200)),
    Row("T5", "by PVH: exec to init", "pvh", "init", "s", 2, peers=PVH, limit=("ratio", 1.0)),
    Row("T6", "init done to process gone", "boot", "end", "ms", peers=BOOT),
    Row("T7", "private memory with disk, network, console", "devices", "private", "kB", peers=NET, limit=("value", 1500)),
    Row("T9", "disk: exits to user space per 4k read", "devices", "disk_user", "", 3, peers=NET, limit=("value", 0.01)),
    Row("T10", "disk: exits per 4k read, one under way", "devices", "disk_exits", "", 2, peers=NET, limit=("ratio", 1.05)),
    Row("T11", "disk: 4k reads, one under way", "devices", "disk_read_1", "/s", up=True, peers=("best",), limit=("ratio", 1.0)),
    Row("T11", "disk: 4k writes, one under way", "devices", "disk_write_1", "/s", up=True, peers=("best",), limit=("ratio", 1.0)),
    Row("T11", "disk: 4k reads, 32 under way", "devices", "disk_read_32", "/s", up=True, peers=("best",), limit=("ratio", 1.0)),
    Row("T11", "disk: sequential reads of 128k, 4 under way", "devices", "disk_stream", "MB/s", 1, True, ("best",), ("ratio", 1.0)),
    Row("T13", "network: exits to user space per byte there and back", "devices", "net_user", "", 3, peers=NET,
        limit=("value", 0.01)),
    Row("T13", "network: exits per byte there and back", "devices", "net_exits", "", 2, peers=NET, limit=("ratio", 1.0)),
    Row("T13", "network: bytes there and back", "devices", "net_ping", "/s", up=True, peers=("best",)),
    Row("T14", "network: TCP from the guest", "devices", "net_send", "MB/s", 1, True, ("best",), ("ratio", 1.0)),
    Row("T14", "network: TCP to the guest", "devices", "net_receive", "MB/s", 1, True, ("best",), ("ratio", 1.0)),
    Row("T15", "console: output", "devices", "console", "MB/s", 2, True, ("best",), ("ratio", 1.0)),
    Row("T15", "console: bytes of them lost", "devices", "console_lost", peers=NET, limit=("value", 0)),
    Row("T16", "a port's read answered by the VMM, the fastest", "read", "read", "us", 1, peers=("bare", "microvm", "q35")),
    Row("T16", "of that above a bare KVM loop", "read", "above", "us", 1, peers=("microvm", "q35"), limit=("value", 10)),
)


PASS, NONE = ("q35",), ("value", 0.01)
PASSED = (
    Row("pass", "NVMe: exits to user space per 4k read", "pass", "disk_user", "", 3, peers=PASS, limit=NONE),
    Row("pass", "NVMe: exits per 4k read, one under way", "pass", "disk_exits", "", 2, peers=PASS),
    Row("pass", "NVMe: 4k writes, one under way, verified by the next row", "pass", "disk_write_1", "/s", up=True, peers=PASS),
    Row("pass", "NVMe: 4k reads, one under way, verified", "pass", "disk_read_1", "/s", up=True, peers=PASS),
    Row("pass", "NVMe: 4k writes, 32 under way, verified by the next row", "pass", "disk_write_32", "/s", up=True, peers=PASS),
    Row("pass", "NVMe: 4k reads, 32 under way, verified", "pass", "disk_read_32", "/s", up=True, peers=PASS),
    Row("pass", "NIC: exits to user space per ping and answer", "pass", "net_user", "", 3, peers=PASS, limit=NONE),
    Row("pass", "NIC: exits per ping and answer", "pass", "net_exits", "", 2, peers=PASS),
    Row("pass", "NIC: a ping's round trip, the mean", "pass", "net_ping", "us", peers=PASS),
    Row("pass", "NIC: TCP from the guest", "pass", "net_send", "MB/s", 1, True, PASS),
    Row("pass", "NIC: TCP to the guest", "pass", "net_receive", "MB/s", 1, True, PASS),
    Row("pass", "sound: exits to user space per second played", "pass", "sound_user", "", 3, peers=PASS, limit=NONE),
    Row("pass", "sound: exits per second played", "pass", "sound_exits", peers=PASS),
    Row("pass", "private memory", "pass", "private", "kB", peers=PASS),
)


def _on_aarch64(row, group, **more):
    """The same there: one peer, and no target that was made of the other board's peers."""
    limit = row.limit if row.limit and row.limit[0] == "value" else None
    return dataclasses.replace(row, **{"group": group, "peers": ("virt",), "limit": limit, **more})


# By MMIO each interrupt's status is read and acknowledged, which goes to user space.
BY_MMIO = {"disk_user": {"number": "T12", "limit": ("value", 2.01)}, "disk_exits": {"number": "T12"}, "net_user": {"limit": None}}
BY_MMIO |= {key: {} for key in ("disk_read_1", "disk_read_32", "net_exits", "net_ping")}
AARCH64 = (
    *(_on_aarch64(row, "arm-boot") for row in X86_64 if row.group == "boot"),
    Row("T1", "and without those by system registers (CTR_EL0 above all)", "arm-boot", "rest", peers=("virt",)),
    *(_on_aarch64(row, "arm-devices") for row in X86_64 if row.group == "devices"),
    *(_on_aarch64(row, "arm-mmio", what=f"by MMIO, {row.what}", **BY_MMIO[row.key]) for row in X86_64
      if row.group == "devices" and row.key in BY_MMIO),
    Row("T16", "a register's read answered by the VMM, the fastest", "arm-read", "read", "us", 1, peers=("virt",)),
    Row("T16", "of that above a bare KVM loop", "arm-read", "above", "us", 1, peers=("virt",), limit=("value", 10)),
    *(_on_aarch64(row, "arm-pass") for row in PASSED),
)
ROWS = (*X86_64, *PASSED, *AARCH64)


@dataclasses.dataclass
class Ratio:
    peer: str
    values: list

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def unclear(self):
        return min(self.values) <= 1 <= max(self.values)

    def __str__(self):
        return f"{self.median:.2f} ({min(self.values):.2f}-{max(self.values):.2f})" + (", not distinguishable" if self.unclear else "")


@dataclasses.dataclass
class Result:
    row: Row
    values: dict  # machine: its numbers, one a round
    ratios: list
    met: bool = None  # by the median; None: no target

    @property
    def verdict(self):
        """The median decides; a range that reaches over the limit is said, since another run may decide otherwise."""
        if self.met is None:
            return ""
        kind, limit = self.row.limit
        values = self.values["qvm"] if kind == "value" else self.ratios[0].values
        crossed = min(values) <= limit < max(values) if not self.row.up else min(values) < limit <= max(values)
        return ("met" if self.met else "missed") + (" by the median alone" if crossed else "")

    def text(self, machine):
        values = self.values.get(machine)
        if not values:
            return ""
        number = f"{statistics.median(values):,.{self.row.digits}f}"
        if max(values) > min(values):
            number += f" ({min(values):,.{self.row.digits}f}-{max(values):,.{self.row.digits}f})"
        return number + (f" {self.row.unit}" if self.row.unit else "")


def _above(round_):
    """What a machine adds to a bare loop's exit."""
    return {machine: {**values, "above": values["read"] - round_["bare"]["read"]} for machine, values in round_.items()
            if machine != "bare"}


def _best(row, round_):
    values = [values[row.key] for machine, values in round_.items() if machine != "qvm"]
    return max(values) if row.up else min(values)


def _met(row, values, ratios):
    if not row.limit:
        return None
    kind, limit = row.limit
    figure = statistics.median(values["qvm"]) if kind == "value" else ratios[0].median if ratios else None
    if figure is None:
        return None
    return figure >= limit if row.up else figure <= limit


def evaluate(rounds):
    """rounds: {group: [{machine: {key: number}}]}. One Result for each row that was measured."""
    results = []
    for row in ROWS:
        mine = [_above(r) if row.key == "above" else r for r in rounds.get(row.group, ())]
        if not mine:
            continue
        values = {machine: [r[machine][row.key] for r in mine] for machine in mine[0]}
        ratios = []
        for peer in row.peers:
            others = [_best(row, r) if peer == "best" else r[peer][row.key] for r in mine]
            if all(other > 0 for other in others):
                ratios.append(Ratio(peer, [r["qvm"][row.key] / other for r, other in zip(mine, others)]))
        results.append(Result(row, values, ratios, _met(row, values, ratios)))
    return results
