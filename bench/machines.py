# SPDX-License-Identifier: Apache-2.0
"""The machines that are compared: what a board needs to run them, and their command lines."""
import contextlib
import os
import pathlib
import subprocess
import tempfile

from lab import board as boards, cache, cpio, images

TOP = pathlib.Path(__file__).resolve().parent.parent
HERE = pathlib.Path(__file__).resolve().parent / "onboard"
CFLAGS = ["-O2", "-static", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
PIO_COUNT = 20000
MEMORY = 256
DISK_MIB = 128

CMDLINE = "console=ttyS0 quiet panic=-1"
PLATFORM = """\
vdev ioapic intr apic name myioapic
vdev 8259 loc 0x20
vdev 8259 loc 0xa0
vdev timer8254 intr myioapic:0
vdev mc146818 intr myioapic:8
vdev pckeyboard
vdev ser8250 intr myioapic:4 hostdev -
"""
DEVICES = """\
vdev virtio-blk hostdev /tmp/b/disk
vdev virtio-net tapdev bhb0
vdev virtio-console hostdev >/tmp/b/console
"""
PEERS = "/peers/usr"
QEMU = (f"{PEERS}/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path {PEERS}/lib/x86_64-linux-gnu "
        f"{PEERS}/bin/qemu-system-x86_64 -L {PEERS}/share/qemu -L {PEERS}/share/seabios -L {PEERS}/lib/ipxe/qemu "
        f"-accel kvm -cpu host -smp 1 -nodefaults -no-user-config -display none -no-reboot -serial stdio")
QEMU_DEVICES = ("-object iothread,id=io -blockdev node-name=d,driver=file,filename=/tmp/b/disk,aio=io_uring "
                "-device virtio-blk-{bus},drive=d,iothread=io "
                "-netdev tap,id=n,ifname=bhb0,script=no,downscript=no,vhost=off -device virtio-net-{bus},netdev=n{rom} "
                "-device virtio-serial-{bus} -chardev file,id=c,path=/tmp/b/console -device virtconsole,chardev=c")
MACHINES = {"microvm": ("-M microvm,rtc=on", QEMU_DEVICES.format(bus="device", rom="")),
            "q35": ("-M q35", QEMU_DEVICES.format(bus="pci", rom=",romfile="))}


def _program(name):
    source = cache.file_bytes(HERE / f"{name}.c")

    def build(path):
        subprocess.run(["cc", *CFLAGS, "-x", "c", HERE / f"{name}.c", "-o", path], check=True)

    return cache.file_bytes(cache.artifact(f"bench-{name}", cache.key(source, CFLAGS), build))


def _pio(*defines):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["cc", "-m32", f"-DCOUNT={PIO_COUNT}", *defines, "-c", HERE / "pio.S",
                        "-o", f"{folder}/pio.o"], check=True)
        subprocess.run(["objcopy", "-O", "binary", f"{folder}/pio.o", f"{folder}/pio"], check=True)
        return cache.file_bytes(f"{folder}/pio")


def qvm_files():
    """qvm and its vdevs from the release build, as {path: bytes}."""
    paths = [TOP / "build/qvm", *sorted((TOP / "build/vdevs").glob("vdev-*.so"))]
    return {str(path.relative_to(TOP / "build")): path.read_bytes() for path in paths}


def configuration(kernel="vmlinuz", initrd="initrd-boot", devices=""):
    return (f"ram {MEMORY}m\nload /payload/{kernel}\ninitrd load /payload/{initrd}\ncmdline \"{CMDLINE}\"\n{PLATFORM}{devices}")


def _archive(script, traffic):
    return cpio.archive({"bin/traffic": traffic, "test": "#!/bin/busybox sh\nbusybox --install -s /bin\n" + script})


def fill(folder, device_script):
    """Writes what boards get at /payload."""
    traffic, initrd = _program("traffic"), cache.file_bytes(images.guest_initrd())
    files = {
        **qvm_files(),
        "meter": _program("meter"), "bare": _program("bare"), "traffic": traffic,
        "pio.bin": _pio(), "pio.rom": _pio("-DFIRMWARE"),
        "vmlinuz": cache.file_bytes(images.guest_kernel()), "vmlinux": cache.file_bytes(images.guest_vmlinux()),
        "initrd-boot": initrd + cpio.archive({"test": "#!/bin/sh\necho @@bye\n"}),
        "initrd-devices": initrd + _archive(device_script, traffic),
        "boot.qvmconf": configuration().encode(),
        "pvh.qvmconf": configuration("vmlinux").encode(),
        "devices.qvmconf": configuration(initrd="initrd-devices", devices=DEVICES).encode(),
        "pio.qvmconf": ("ram 1m\nload 0x8000,/payload/pio.bin\n" + PLATFORM).encode(),
    }
    for name, data in files.items():
        path = pathlib.Path(folder) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        if not name.endswith((".qvmconf", ".bin", ".rom")):
            path.chmod(0o755)


def boot_command(machine):
    """From exec to the end of a guest that says @@bye and powers off."""
    name, _, pvh = machine.partition("+")
    if name == "qvm":
        return f"/payload/qvm @/payload/{'pvh' if pvh else 'boot'}.qvmconf"
    kernel = "vmlinux" if pvh else "vmlinuz"
    return (f"{QEMU} {MACHINES[name][0]} -m {MEMORY} -kernel /payload/{kernel} -initrd /payload/initrd-boot "
            f"-append '{CMDLINE}'")


def devices_command(machine):
    """A guest with a disk, a network interface and a console besides the serial one."""
    if machine == "qvm":
        return "/payload/qvm @/payload/devices.qvmconf"
    return (f"{QEMU} {' '.join(MACHINES[machine])} -m {MEMORY} -kernel /payload/vmlinuz -initrd /payload/initrd-devices "
            f"-append '{CMDLINE}'")


def pio_command(machine):
    """The guest that reads one port."""
    if machine == "bare":
        return "/payload/bare /payload/pio.bin"
    if machine == "qvm":
        return "/payload/qvm @/payload/pio.qvmconf"
    return f"{QEMU} {MACHINES[machine][0]} -m {MEMORY} -bios /payload/pio.rom"


@contextlib.contextmanager
def board(device_script):
    """A board with all of it. The programs run with the root's rights there."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("TMPDIR")) as folder:
        fill(folder, device_script)
        with boards.Board(payload=[folder], peers=True) as host:
            yield host
