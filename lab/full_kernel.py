# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel with all its drivers, for guests that need one which the cloud kernel lacks. Fetched when first asked for."""
import glob
import os
import re
import shutil

from lab import cache, packages
from lab.machines import AARCH64, X86_64

# What a guest loads to reach a disk and a console, and the drivers that such a guest is booted for. The codec's comes
# before the sound controller's, which looks for one once.
BOOT_MODULES = ("virtio_pci", "virtio_console")
PASSED = ("e1000e", "nvme", "snd_hda_codec_generic", "snd_hda_intel", "snd_pcm_oss", "uio_pci_generic", "virtio_net")
DRIVERS = {X86_64.name: ("ib700wdt", *PASSED), AARCH64.name: (*PASSED, "virtio_blk", "evdev", "gpio_keys")}


def _name(path):
    return os.path.basename(path)[:-3].replace("-", "_")


def _in_order(folder, names):
    """The module files of a folder that the names need, in the order to load them; what is not there is built in."""
    paths = {_name(path): path for path in glob.glob(f"{folder}/**/*.ko", recursive=True)}
    ordered = {}

    def add(name):
        if name in paths and name not in ordered:
            found = re.search(rb"\0depends=([^\0]*)\0", cache.file_bytes(paths[name]))
            for need in found.group(1).decode().split(",") if found else ():
                add(need.replace("-", "_"))
            ordered[name] = paths[name]

    for name in names:
        add(name)
    return list(ordered.values())


def _tree(m):
    names = BOOT_MODULES + DRIVERS[m.name]

    def finish(path):
        os.makedirs(f"{path}/modules")
        for file in _in_order(f"{path}/lib/modules", names):
            shutil.copyfile(file, f"{path}/modules/{os.path.basename(file)}")
        shutil.copyfile(glob.glob(f"{path}/boot/vmlinuz-*")[0], f"{path}/vmlinuz")
        shutil.rmtree(f"{path}/usr")
        shutil.rmtree(f"{path}/boot")

    name = m.named("full-kernel")
    return packages.tree(f"{name}-{cache.key(names, cache.file_bytes(__file__))[:8]}", [f"linux-image-{m.debian}"],
                         "linux-image-", finish, m.debian)


def kernel(m=X86_64):
    """The kernel: a bzImage, an Image on AArch64."""
    return f"{_tree(m)}/vmlinuz"


def module_files(drivers, m=X86_64, load=True):
    """Files for `cpio.archive`, to append to images.guest_initrd(): /modules is this kernel's, with those drivers, which are loaded
    or only there."""
    folder = f"{_tree(m)}/modules"
    files = {f"modules/{os.path.basename(path)}": cache.file_bytes(path) for path in _in_order(folder, (*BOOT_MODULES, *drivers))}
    loaded = _in_order(folder, (*BOOT_MODULES, *drivers) if load else BOOT_MODULES)
    return {**files, "modules/order": "".join(os.path.basename(path) + "\n" for path in loaded)}
