# SPDX-License-Identifier: Apache-2.0
"""AArch64 boards for the tests, with what they need on them."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import guests
from lab import board as boards, full_kernel, hangs, images
from lab.machines import AARCH64

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build-aarch64"


def make_payload(folder):
    """The build, kernels (Debian's cloud kernel, and the one with all drivers, compressed), an initramfs, the tools disk,
    small guests."""
    (folder / "build/vdevs").mkdir(parents=True)
    os.link(BUILD / "qvm", folder / "build/qvm")
    for vdev in (BUILD / "vdevs").glob("vdev-*.so"):
        os.link(vdev, folder / "build/vdevs" / vdev.name)
    guests.build_vdev("calls", folder / "build/vdevs", AARCH64.compiler)
    for name, path in {"vmlinuz": images.guest_kernel(AARCH64), "initrd": images.guest_initrd(AARCH64),
                       "tools.squashfs": images.guest_tools(AARCH64), "u-boot.bin": images.u_boot()}.items():
        shutil.copyfile(path, folder / name)
    with open(folder / "full.gz", "wb") as packed:
        subprocess.run(["gzip", "-1c", full_kernel.kernel(AARCH64)], stdout=packed, check=True)
    subprocess.run([TOP / "tests/guests/aarch64/build", folder], check=True)


@contextlib.contextmanager
def board(machine):
    """A board of that machine, with the payload."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="payload-", dir=BUILD))
    folder.chmod(0o755)
    try:
        make_payload(folder)
        with boards.Board(payload=[folder], machine=machine) as running:
            hangs.shared.append(running)
            yield running
            hangs.shared.remove(running)
    finally:
        shutil.rmtree(folder)


def clean(running):
    """The board without what an earlier VM left."""
    running.run("ip link set lo up; pkill -9 -x qvm; pkill -x socat; rm -rf /tmp/t /run/qvm; mkdir -p /tmp/t; "
                "ip link del bh0 2> /dev/null; true", check=False)
    return guests.Host(running)
