# SPDX-License-Identifier: Apache-2.0
"""Boards whose host has devices that are not on PCI for guests, by UIO: the clock of AArch64's board (a PL031). A PC's second serial port is
one without more; see onboard/uio."""
import dataclasses
import subprocess

from lab import board, cache
from lab.machines import AARCH64

RTC, RTC_INTERRUPT = 0x9010000, 34  # host-physical; the number at the host's GIC


def _tree():
    """The board's device tree, where the clock is nobody's but UIO's."""
    words = [AARCH64.qemu, *AARCH64.qemu_args, "-smp", str(board.CPUS), "-m", str(board.MEMORY_MIB), "-nodefaults", "-display", "none",
             "-object", f"memory-backend-ram,id=memory,size={board.MEMORY_MIB}M"]

    def build(path):
        subprocess.run([*words, "-machine", f"dumpdtb={path}"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for prop in (("compatible", "bulkhead,uio"), ("qvm,compatible", "arm,pl031", "arm,primecell")):
            subprocess.run(["fdtput", "-t", "s", path, f"/pl031@{RTC:x}", *prop], check=True)

    version = subprocess.run([AARCH64.qemu, "--version"], check=True, capture_output=True).stdout
    return cache.artifact("uio-tree", cache.key(words, version, cache.file_bytes(__file__)), build, ".dtb")


def machine():
    """The machine of such a board."""
    return dataclasses.replace(AARCH64, qemu_args=(*AARCH64.qemu_args, "-dtb", _tree()))
