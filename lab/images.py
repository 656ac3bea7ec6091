# SPDX-License-Identifier: Apache-2.0
"""What boards and guests boot from. Every function returns the path of an artifact in the cache, made if need be."""
import ctypes
import glob
import os
import re
import shutil
import struct
import subprocess

from lab import cache, cpio, packages

MIB = 1 << 20
PAYLOAD_SIZE = 1024 * MIB
PEERS_SIZE = 512 * MIB

KERNEL = ["linux-image-cloud-amd64"]
BOARD = """bash busybox-static coreutils diffutils e2fsprogs fdisk findutils fio gawk grep iproute2 iputils-ping kmod
libasan8 libcap-ng0 libfdt1 libgcc-s1 libjansson4 libseccomp2 libstdc++6 libtsan2 libubsan1 liburing2 mount ncurses-base
ncurses-bin pciutils procps psmisc sed socat strace util-linux""".split()
PEERS = ["qemu-system-x86", "seabios", "ipxe-qemu"]
TOOLS = ["fio", "lspci", "setpci"]
SMALL = ["memtest86+", "seabios", "ovmf"]

# Dependencies of packages, not of programs.
USEFUL = r"(?!perl|libperl|python|libpython|initramfs|dracut|iso-codes|libicu.*-dev)"

INITRAMFS_MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "virtio-rng", "squashfs", "overlay"]
GUEST_MODULES = ["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_console", "virtio-rng", "squashfs",
                 "loop"]
UNUSED_MODULES = ["drivers/infiniband", "drivers/gpu", "drivers/hv", "drivers/xen", "drivers/net/ethernet/mellanox",
                  "fs/btrfs", "fs/xfs", "fs/ceph", "fs/nfs", "fs/nfsd", "fs/ocfs2", "fs/gfs2", "net/ceph"]

CFLAGS = ["-O2", "-static", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
HERE = os.path.dirname(os.path.abspath(__file__))


def _own(name):
    return cache.file_bytes(os.path.join(HERE, name))


def _key(*trees):
    return cache.key([os.path.basename(tree) for tree in trees], _own("images.py"))


# An emulated CPU decompresses slowly and its disk is a file in the page cache, so nothing is compressed.
def squashfs(sources, path, size=None, left_out=()):
    """Makes a squashfs of files and folders (several: each by its own name; one folder: what is in it)."""
    command = ["mksquashfs", *sources, path, "-noappend", "-all-root", "-no-xattrs", "-no-progress", "-quiet",
               "-noI", "-noD", "-noF", "-noX"]
    if left_out:
        command += ["-e", *left_out]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    if size:
        if os.path.getsize(path) > size:
            raise ValueError(f"{path} holds {os.path.getsize(path) // MIB} MiB; the disk has {size // MIB} MiB")
        os.truncate(path, size)


def _program(name):
    """A static program of this folder."""
    source = os.path.join(HERE, name)

    def build(path):
        subprocess.run(["cc", *CFLAGS, "-x", "c", source, "-o", path], check=True)

    return cache.artifact(os.path.basename(name)[:-2], cache.key(cache.file_bytes(source), CFLAGS), build)


def kvm_probe():
    return _program("kvm-probe.c")


def _kernel():
    def finish(path):
        depmod = shutil.which("depmod", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        subprocess.run([depmod or "depmod", "-b", path, os.listdir(f"{path}/lib/modules")[0]], check=True)

    return packages.tree("kernel", KERNEL, "linux-image-", finish)


def _modules_folder():
    return glob.glob(f"{_kernel()}/lib/modules/*")[0]


def guest_kernel():
    """Debian's cloud kernel (a bzImage): what boards run, and what guests run."""
    return glob.glob(f"{_kernel()}/boot/vmlinuz-*")[0]


def _unpack_lz4(data):
    """What the kernel's build makes of a file with lz4: blocks of at most 8 MiB, each after its length."""
    lz4 = ctypes.CDLL("liblz4.so.1")  # squashfs-tools need it
    if data[:4] != b"\x02\x21\x4c\x18":
        raise ValueError("the kernel is not compressed by lz4")
    room, found, at = ctypes.create_string_buffer(8 * MIB), [], 4
    while at + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        if at + 4 + size > len(data):  # the length of all that follows the last block
            break
        done = lz4.LZ4_decompress_safe(data[at + 4:at + 4 + size], room, size, len(room))
        if done < 0:
            raise ValueError("the kernel's lz4 data is damaged")
        found.append(room.raw[:done])
        at += 4 + size
    return b"".join(found)


def guest_vmlinux():
    """The ELF file in Debian's cloud kernel; it has a PVH note."""
    def build(path):
        image = cache.file_bytes(guest_kernel())
        start = (image[0x1f1] + 1) * 512 + struct.unpack_from("<I", image, 0x248)[0]
        _write(path, _unpack_lz4(image[start:start + struct.unpack_from("<I", image, 0x24c)[0]]))

    return cache.artifact("guest-vmlinux", _key(_kernel()), build)


def small_guests():
    """{name: path} of what runs without an operating system: memory tester and firmware."""
    tree = packages.tree("small-guests", SMALL)
    return {"memtest": f"{tree}/boot/memtest86+x64.bin", "bios.bin": f"{tree}/usr/share/seabios/bios.bin",
            "bios-256k.bin": f"{tree}/usr/share/seabios/bios-256k.bin", "OVMF.fd": f"{tree}/usr/share/ovmf/OVMF.fd"}


def modules(names):
    """The paths of kernel modules and of all they need, in the order to load them."""
    folder, found = _modules_folder(), {}
    with open(f"{folder}/modules.dep", encoding="ascii") as file:
        for line in file:
            path, needs = line.split(":")
            found[re.sub("-", "_", os.path.basename(path)[:-3])] = [*reversed(needs.split()), path]
    ordered = dict.fromkeys(path for name in names for path in found[name.replace("-", "_")])
    return [os.path.join(folder, path) for path in ordered]


def module_files(names):
    """The same as files for `cpio.archive`: /modules/order names them in order."""
    paths = modules(names)
    files = {f"modules/{os.path.basename(path)}": cache.file_bytes(path) for path in paths}
    files["modules/order"] = "".join(os.path.basename(path) + "\n" for path in paths)
    return files


def _busybox():
    return cache.file_bytes(f"{_board_tree()}/bin/busybox")


def _board_tree():
    return packages.tree("board-tree", BOARD, USEFUL)


def _initrd(name, files):
    archive = cpio.archive(files)
    return cache.artifact(name, cache.key(archive), lambda path: _write(path, archive), ".cpio")


def _write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def board_initramfs():
    return _initrd("board-initramfs", {
        "dev": None, "root": None, "over": None, "new": None,
        "bin/busybox": _busybox(),
        "init": _own("onboard/initramfs-init"),
        "lab/usr/sbin/board-init": _own("onboard/board-init"),
        "lab/usr/lib/bulkhead/agent": cache.file_bytes(_program("onboard/agent.c")),
        "lab/usr/bin/kvm-probe": cache.file_bytes(kvm_probe()),
        **module_files(INITRAMFS_MODULES),
    })


def guest_initrd():
    """A small initramfs for guests; see onboard/guest-init. It is an archive to append others to."""
    applets = ["sh", "mount", "mkdir", "insmod", "cat", "grep", "setsid", "cttyhack", "poweroff"]
    return _initrd("guest-initrd", {
        "dev": None, "proc": None, "sys": None, "tmp": None, "mnt": None, "sbin": None,
        "bin/busybox": _busybox(),
        **{f"bin/{applet}": cpio.link("busybox") for applet in applets},
        "init": _own("onboard/guest-init"),
        **module_files(GUEST_MODULES),
    })


def board_root():
    tree, kernel = _board_tree(), _kernel()

    def build(path):
        extra = path + ".extra"
        cache.remove(extra)
        for folder in ("dev", "proc", "sys", "run", "tmp", "root", "etc", "var", "mnt", "payload", "peers", "scratch"):
            os.makedirs(f"{extra}/{folder}")
        os.makedirs(f"{extra}/usr/local/bin")
        subprocess.run(["cp", "-al", f"{tree}/.", extra], check=True)
        subprocess.run(["cp", "-al", f"{kernel}/lib/modules", f"{extra}/usr/lib/"], check=True)
        os.symlink("bash", f"{extra}/usr/bin/sh")
        _write(f"{extra}/etc/passwd", b"root:x:0:0:root:/root:/bin/bash\nqvm:x:900:900::/:/bin/sh\n"
                                      b"nobody:x:65534:65534:nobody:/:/bin/sh\n")
        _write(f"{extra}/etc/group", b"root:x:0:\nqvm:x:900:\nnogroup:x:65534:\n")
        _write(f"{extra}/usr/local/bin/qemu-system-x86_64", PEERS_QEMU)
        os.chmod(f"{extra}/usr/local/bin/qemu-system-x86_64", 0o755)
        modules_folder = f"usr/lib/modules/{os.path.basename(_modules_folder())}/kernel"
        squashfs([extra], path, left_out=[f"{modules_folder}/{name}" for name in UNUSED_MODULES])
        cache.remove(extra)

    return cache.artifact("board-root", _key(tree, kernel), build, ".squashfs")


# The peers' QEMU runs with the libraries of its own disk.
PEERS_QEMU = b"""#!/bin/sh
[ -d /peers/usr ] || { echo "qemu-system-x86_64: this board was started without --peers" >&2; exit 127; }
exec /peers/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path /peers/usr/lib/x86_64-linux-gnu \\
	/peers/usr/bin/qemu-system-x86_64 -L /peers/usr/share/qemu -L /peers/usr/share/seabios -L /peers/usr/lib/ipxe/qemu "$@"
"""


def peers():
    """A disk with QEMU, to compare with."""
    tree = packages.tree("peers-tree", PEERS, USEFUL)
    return cache.artifact("peers", _key(tree),
                          lambda path: squashfs([tree], path, PEERS_SIZE), ".squashfs")


def _needed(tree, programs):
    """The shared libraries that programs of a tree need, their loader included, as {name: path}."""
    where = {}
    for pattern in ("*", "ceph/*"):
        for path in glob.glob(f"{tree}/usr/lib/x86_64-linux-gnu/{pattern}"):
            where.setdefault(os.path.basename(path), path)
    found, todo = {}, list(programs)
    while todo:
        listed = subprocess.run(["readelf", "-d", todo.pop()], capture_output=True, text=True, check=True).stdout
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", listed):
            if name not in found:
                found[name] = where[name]
                todo.append(where[name])
    return found


def guest_tools():
    """A disk for guests: `mount /dev/vdb /mnt; chroot /mnt fio ...`; also lspci and setpci."""
    tree = _board_tree()

    def build(path):
        extra = path + ".extra"
        cache.remove(extra)
        for folder in ("usr/bin", "usr/lib/x86_64-linux-gnu", "usr/lib64", "dev", "proc", "sys", "tmp", "mnt"):
            os.makedirs(f"{extra}/{folder}")
        for folder in ("bin", "lib", "lib64"):
            os.symlink(f"usr/{folder}", f"{extra}/{folder}")
        programs = [f"{tree}/usr/bin/{name}" for name in TOOLS]
        for source in programs:
            subprocess.run(["cp", "-L", source, f"{extra}/usr/bin/"], check=True)
        for name, source in _needed(tree, programs).items():
            subprocess.run(["cp", "-L", source, f"{extra}/usr/lib/x86_64-linux-gnu/{name}"], check=True)
        os.symlink("../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", f"{extra}/usr/lib64/ld-linux-x86-64.so.2")
        squashfs([extra], path)
        cache.remove(extra)

    return cache.artifact("guest-tools", _key(tree), build, ".squashfs")


def payload(sources, path):
    """A payload disk at a path outside the cache, made anew; an empty one of no sources."""
    if sources:
        squashfs(sources, path, PAYLOAD_SIZE)
    else:
        with open(path, "wb") as disk:
            disk.truncate(PAYLOAD_SIZE)


def guest_headers():
    """What drivers for guest_kernel() are built with: `make -C THIS M=FOLDER modules`. Fetched when first asked for."""
    version = os.path.basename(_modules_folder())

    def finish(path):
        # Debian's file names the other package by its place in an installed system.
        makefile = f"{path}/usr/src/linux-headers-{version}/Makefile"
        text = cache.file_bytes(makefile)
        _write(makefile, text.replace(b"/usr/src/", b"$(dir $(lastword $(MAKEFILE_LIST)))../"))

    tree = packages.tree("guest-headers", [f"linux-headers-{version}"], "linux-(headers|kbuild)-", finish)
    return f"{tree}/usr/src/linux-headers-{version}"


def everything():
    """{what: path} of all images."""
    return {make.__name__: make() for make in (guest_kernel, guest_vmlinux, guest_initrd, guest_tools,
                                               board_initramfs, board_root, peers, kvm_probe)} | small_guests()
