# SPDX-License-Identifier: Apache-2.0
"""What boards and guests boot from. Every function returns the path of an artifact in the cache, made if need be; `m` is
the machine that it is for."""
import ctypes
import glob
import lzma
import os
import re
import shutil
import struct
import subprocess

from lab import cache, cpio, packages
from lab.machines import X86_64

MIB = 1 << 20
PAYLOAD_SIZE = 1024 * MIB
PEERS_SIZE = 512 * MIB

BOARD = """bash busybox-static coreutils diffutils e2fsprogs fdisk findutils fio gawk grep iproute2 iputils-ping kmod
libasan8 libcap-ng0 libfdt1 libgcc-s1 libjansson4 libseccomp2 libstdc++6 libtsan2 libubsan1 liburing2 mount ncurses-base
ncurses-bin pciutils procps psmisc sed socat strace util-linux""".split()
PEERS = {"x86_64": ["qemu-system-x86", "seabios", "ipxe-qemu"], "aarch64": ["qemu-system-arm", "ipxe-qemu"]}
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


def _program(name, m=X86_64):
    """A static program of this folder."""
    source = os.path.join(HERE, name)

    def build(path):
        subprocess.run([m.compiler, *CFLAGS, "-x", "c", source, "-o", path], check=True)

    return cache.artifact(m.named(os.path.basename(name)[:-2]), cache.key(cache.file_bytes(source), CFLAGS), build)


def kvm_probe():
    return _program("kvm-probe.c")


def _kernel(m=X86_64, which=None):
    """A kernel with its modules; those that are compressed are unpacked, since an emulated CPU does it slowly."""
    def finish(path):
        for module in glob.glob(f"{path}/lib/modules/*/kernel/**/*.ko.xz", recursive=True):
            _write(module[:-3], lzma.decompress(cache.file_bytes(module)))
            os.unlink(module)
        depmod = shutil.which("depmod", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        subprocess.run([depmod or "depmod", "-b", path, os.listdir(f"{path}/lib/modules")[0]], check=True)

    names = which or m.guest_kernel
    name = {m.guest_kernel: "kernel", m.newer_kernel: "newer-kernel"}.get(names, "board-kernel")
    return packages.tree(m.named(name), list(names), "linux-image-", finish, m.debian)


def _modules_folder(m=X86_64, which=None):
    return glob.glob(f"{_kernel(m, which)}/lib/modules/*")[0]


def guest_kernel(m=X86_64):
    """Debian's cloud kernel (x86-64: a bzImage, AArch64: an Image): what guests run, and x86-64 boards."""
    return glob.glob(f"{_kernel(m)}/boot/vmlinuz-*")[0]


def board_kernel(m=X86_64):
    return glob.glob(f"{_kernel(m, m.board_kernel)}/boot/vmlinuz-*")[0]


def newer_kernel(m=X86_64):
    return glob.glob(f"{_kernel(m, m.newer_kernel)}/boot/vmlinuz-*")[0]


def newer_kernel_modules(m=X86_64):
    """Files for `cpio.archive`, to append to guest_initrd(): /modules is that kernel's."""
    return module_files(GUEST_MODULES, m, m.newer_kernel)


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


def u_boot():
    """Debian's U-Boot for AArch64, made for QEMU's virt machine: a raw image."""
    return f"{packages.tree('u-boot', ['u-boot-qemu'], 'u-boot-qemu_')}/usr/lib/u-boot/qemu_arm64/u-boot.bin"


def modules(names, m=X86_64, which=None):
    """The paths of kernel modules and of all they need, in the order to load them; what is built in is left out."""
    folder, found = _modules_folder(m, which), {}

    def name_of(path):
        return re.sub("-", "_", os.path.basename(path)[:-3])

    with open(f"{folder}/modules.builtin", encoding="ascii") as file:
        for path in file.read().split():
            found[name_of(path)] = []
    with open(f"{folder}/modules.dep", encoding="ascii") as file:
        for line in file:
            path, needs = line.split(":")
            found[name_of(path)] = [*reversed(needs.split()), path]
    ordered = dict.fromkeys(path for name in names for path in found[name.replace("-", "_")])
    return [os.path.join(folder, path) for path in ordered]


def module_files(names, m=X86_64, which=None):
    """The same as files for `cpio.archive`: /modules/order names them in order."""
    paths = modules(names, m, which)
    files = {f"modules/{os.path.basename(path)}": cache.file_bytes(path) for path in paths}
    files["modules/order"] = "".join(os.path.basename(path) + "\n" for path in paths)
    return files


def _busybox(m=X86_64):
    return cache.file_bytes(f"{_board_tree(m)}/bin/busybox")


def _board_tree(m=X86_64):
    return packages.tree(m.named("board-tree"), BOARD, USEFUL, arch=m.debian)


def _initrd(name, files):
    archive = cpio.archive(files)
    return cache.artifact(name, cache.key(archive), lambda path: _write(path, archive), ".cpio")


def _write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def board_initramfs(m=X86_64):
    probe = {"lab/usr/bin/kvm-probe": cache.file_bytes(kvm_probe())} if m.name == X86_64.name else {}
    return _initrd(m.named("board-initramfs"), {
        "dev": None, "root": None, "over": None, "new": None,
        "bin/busybox": _busybox(m),
        "init": _own("onboard/initramfs-init"),
        "lab/usr/sbin/board-init": _own("onboard/board-init"),
        "lab/usr/lib/bulkhead/agent": cache.file_bytes(_program("onboard/agent.c", m)),
        **probe,
        **module_files(INITRAMFS_MODULES, m, m.board_kernel),
    })


def guest_initrd(m=X86_64):
    """A small initramfs for guests; see onboard/guest-init. It is an archive to append others to."""
    applets = ["sh", "mount", "mkdir", "insmod", "cat", "grep", "setsid", "cttyhack", "poweroff"]
    return _initrd(m.named("guest-initrd"), {
        "dev": None, "proc": None, "sys": None, "tmp": None, "mnt": None, "sbin": None,
        "bin/busybox": _busybox(m),
        **{f"bin/{applet}": cpio.link("busybox") for applet in applets},
        "init": _own("onboard/guest-init"),
        **module_files(GUEST_MODULES, m),
    })


def board_root(m=X86_64):
    tree, kernel = _board_tree(m), _kernel(m, m.board_kernel)

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
        _write(f"{extra}/usr/local/bin/{m.qemu}", _peers_qemu(m).encode())
        os.chmod(f"{extra}/usr/local/bin/{m.qemu}", 0o755)
        modules_folder = f"usr/lib/modules/{os.path.basename(_modules_folder(m, m.board_kernel))}/kernel"
        squashfs([extra], path, left_out=[f"{modules_folder}/{name}" for name in UNUSED_MODULES])
        cache.remove(extra)

    return cache.artifact(m.named("board-root"), _key(tree, kernel), build, ".squashfs")


def _peers_qemu(m):
    """The peers' QEMU runs with the libraries of its own disk."""
    libraries = f"/peers/usr/lib/{m.triple}"
    return f"""#!/bin/sh
[ -d /peers/usr ] || {{ echo "{m.qemu}: this board was started without --peers" >&2; exit 127; }}
exec {libraries}/{os.path.basename(m.loader)} --library-path {libraries} \\
	/peers/usr/bin/{m.qemu} -L /peers/usr/share/qemu -L /peers/usr/share/seabios -L /peers/usr/lib/ipxe/qemu "$@"
"""


def peers(m=X86_64):
    """A disk with QEMU, to compare with."""
    tree = packages.tree(m.named("peers-tree"), PEERS[m.name], USEFUL, arch=m.debian)
    return cache.artifact(m.named("peers"), _key(tree), lambda path: squashfs([tree], path, PEERS_SIZE), ".squashfs")


def _needed(tree, programs, m=X86_64):
    """The shared libraries that programs of a tree need, their loader included, as {name: path}."""
    where = {}
    for pattern in ("*", "ceph/*"):
        for path in glob.glob(f"{tree}/usr/lib/{m.triple}/{pattern}"):
            where.setdefault(os.path.basename(path), path)
    found, todo = {}, list(programs)
    while todo:
        listed = subprocess.run(["readelf", "-d", todo.pop()], capture_output=True, text=True, check=True).stdout
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", listed):
            if name not in found:
                found[name] = where[name]
                todo.append(where[name])
    return found


def guest_tools(m=X86_64):
    """A disk for guests: `mount /dev/vdb /mnt; chroot /mnt fio ...`; also lspci and setpci."""
    tree = _board_tree(m)

    def build(path):
        extra = path + ".extra"
        cache.remove(extra)
        for folder in ("usr/bin", f"usr/lib/{m.triple}", "usr/lib64", "dev", "proc", "sys", "tmp", "mnt"):
            os.makedirs(f"{extra}/{folder}")
        for folder in ("bin", "lib", "lib64"):
            os.symlink(f"usr/{folder}", f"{extra}/{folder}")
        programs = [f"{tree}/usr/bin/{name}" for name in TOOLS]
        for source in programs:
            subprocess.run(["cp", "-L", source, f"{extra}/usr/bin/"], check=True)
        for name, source in _needed(tree, programs, m).items():
            subprocess.run(["cp", "-L", source, f"{extra}/usr/lib/{m.triple}/{name}"], check=True)
        loader = os.path.basename(m.loader)
        os.symlink(f"../lib/{m.triple}/{loader}" if m.loader.startswith("lib64") else f"{m.triple}/{loader}",
                   f"{extra}/usr/{m.loader}")
        squashfs([extra], path)
        cache.remove(extra)

    return cache.artifact(m.named("guest-tools"), _key(tree), build, ".squashfs")


def payload(sources, path):
    """A payload disk at a path outside the cache, made anew; an empty one of no sources."""
    if sources:
        squashfs(sources, path, PAYLOAD_SIZE)
    else:
        with open(path, "wb") as disk:
            disk.truncate(PAYLOAD_SIZE)


def guest_headers(m=X86_64, which=None):
    """What drivers for guest_kernel() are built with: `make -C THIS M=FOLDER modules`. Fetched when first asked for."""
    version = os.path.basename(_modules_folder(m, which))

    def finish(path):
        # Debian's file names the other package by its place in an installed system.
        makefile = f"{path}/usr/src/linux-headers-{version}/Makefile"
        text = cache.file_bytes(makefile)
        _write(makefile, text.replace(b"/usr/src/", b"$(dir $(lastword $(MAKEFILE_LIST)))../"))
        # The programs that build run here.
        for tools in glob.glob(f"{path}/usr/lib/linux-kbuild-*") if m is not X86_64 else []:
            name = os.path.basename(tools)
            cache.remove(tools)
            os.symlink(f"{packages.tree(name, [name], 'linux-kbuild-')}/usr/lib/{name}", tools)

    kind = "guest-headers" if not which or which == m.guest_kernel else "board-headers"
    tree = packages.tree(m.named(kind), [f"linux-headers-{version}"], "linux-(headers|kbuild)-", finish, m.debian)
    return f"{tree}/usr/src/linux-headers-{version}"


def uio_module(m=X86_64):
    """A kernel module for the host of boards: see onboard/uio."""
    files = {name: _own(f"onboard/uio/{name}") for name in ("bulkhead_uio.c", "Kbuild")}
    headers = guest_headers(m, m.board_kernel)
    cross = ["ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-", "DEB_HOST_GNU_TYPE=aarch64-linux-gnu", "DEB_BUILD_ARCH=amd64",
             "DEB_HOST_ARCH=arm64"] if m is not X86_64 else []
    words = [*cross, "CONFIG_DEBUG_INFO_BTF_MODULES="]  # which would need pahole

    def build(path):
        folder = path + ".build"
        cache.remove(folder)
        os.makedirs(folder)
        for name, data in files.items():
            _write(f"{folder}/{name}", data)
        subprocess.run(["make", "-s", "-C", headers, f"M={folder}", *words, "modules"], check=True, stdout=subprocess.DEVNULL)
        os.rename(f"{folder}/bulkhead_uio.ko", path)
        cache.remove(folder)

    return cache.artifact(m.named("bulkhead_uio"), cache.key(*files.values(), headers, words), build, ".ko")


def everything(m=X86_64):
    """{what: path} of all images."""
    both = (guest_kernel, guest_initrd, guest_tools, board_kernel, board_initramfs, board_root)
    found = {make.__name__: make(m) for make in both}
    if m.name == X86_64.name:
        found |= {make.__name__: make() for make in (guest_vmlinux, peers, kvm_probe)} | small_guests()
    return found
