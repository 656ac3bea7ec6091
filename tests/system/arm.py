# SPDX-License-Identifier: Apache-2.0
"""AArch64 boards for the tests, with what they need on them."""
import pathlib
import shutil
import subprocess

import guests
from lab import full_kernel, images
from lab.machines import AARCH64

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build-aarch64"


def make_payload(folder):
    """The build, kernels (Debian's cloud kernel, and the one with all drivers, compressed), an initramfs, the tools disk,
    small guests."""
    guests.link_build(folder, BUILD, programs=("qvm", "vdev-test", "vdev-fuzz"))
    guests.build_vdev("calls", folder / "build/vdevs", AARCH64.compiler)
    for name, path in {"vmlinuz": images.guest_kernel(AARCH64), "initrd": images.guest_initrd(AARCH64),
                       "tools.squashfs": images.guest_tools(AARCH64), "u-boot.bin": images.u_boot()}.items():
        shutil.copyfile(path, folder / name)
    with open(folder / "full.gz", "wb") as packed:
        subprocess.run(["gzip", "-1c", full_kernel.kernel(AARCH64)], stdout=packed, check=True)
    subprocess.run([TOP / "tests/guests/aarch64/build", folder], check=True)


def board(machine):
    """A board of that machine, with the payload."""
    return guests.board_with(make_payload, BUILD, machine=machine)


def clean(running):
    """The board without what an earlier VM left."""
    running.run("ip link set lo up; pkill -9 -x qvm; pkill -x socat; rm -rf /tmp/t /run/qvm; mkdir -p /tmp/t; "
                "ip link del bh0 2> /dev/null; true", check=False)
    return guests.Host(running)
