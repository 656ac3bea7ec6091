# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel with all its drivers, for guests that need one which the cloud kernel lacks. Fetched when first asked for."""
import glob
import os
import re
import shutil

from lab import cache, packages

PACKAGE = "linux-image-amd64"
# What a guest loads to reach a disk and a console, and the drivers that such a guest is booted for.
BOOT_MODULES = ["virtio_pci", "virtio_console"]
DRIVERS = ["ib700wdt"]


def _wanted(folder):
    """The module files of BOOT_MODULES and DRIVERS and of all they need, in the order to load them."""
    needs, paths = {}, {}
    for path in glob.glob(f"{folder}/kernel/**/*.ko", recursive=True):
        name = os.path.basename(path)[:-3].replace("-", "_")
        paths[name] = path
        found = re.search(rb"\0depends=([^\0]*)\0", cache.file_bytes(path))
        needs[name] = [n.replace("-", "_") for n in (found.group(1).decode() if found else "").split(",") if n]
    ordered = {}

    def add(name):
        for need in needs[name]:
            add(need)
        ordered[name] = paths[name]

    for name in BOOT_MODULES + DRIVERS:
        add(name)
    return list(ordered.values())


def _tree():
    def finish(path):
        modules = glob.glob(f"{path}/lib/modules/*")[0]
        files = _wanted(modules)
        os.makedirs(f"{path}/modules")
        for number, file in enumerate(files):
            shutil.copyfile(file, f"{path}/modules/{number:02}-{os.path.basename(file)}")
        shutil.copyfile(glob.glob(f"{path}/boot/vmlinuz-*")[0], f"{path}/vmlinuz")
        shutil.rmtree(f"{path}/usr")
        shutil.rmtree(f"{path}/boot")

    return packages.tree(f"full-kernel-{cache.key(BOOT_MODULES, DRIVERS)[:8]}", [PACKAGE], "linux-image-", finish)


def kernel():
    """The kernel, a bzImage."""
    return f"{_tree()}/vmlinuz"


def module_files():
    """Files for `cpio.archive`, to append to images.guest_initrd(): /modules is this kernel's. DRIVERS are there, not loaded."""
    files = {f"modules/{os.path.basename(path)[3:]}": cache.file_bytes(path)
             for path in sorted(glob.glob(f"{_tree()}/modules/*.ko"))}
    order = [name[len("modules/"):] for name in files if name[len("modules/"):-3] not in DRIVERS]
    return {**files, "modules/order": "".join(name + "\n" for name in order)}
