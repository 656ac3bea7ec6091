# SPDX-License-Identifier: Apache-2.0
"""The machines that are compared: what a board needs to run them, and their command lines."""
import contextlib
import dataclasses
import os
import pathlib
import socket
import subprocess
import tempfile

from lab import board as boards, cache, cpio, full_kernel, images, machines, passing
from lab.machines import AARCH64, X86_64

TOP = pathlib.Path(__file__).resolve().parent.parent
HERE = pathlib.Path(__file__).resolve().parent / "onboard"
TONE = TOP / "tests/guests/linux/tone.c"
CFLAGS = ["-O2", "-static", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
READ_COUNT = 20000
MEMORY = 256
DISK_MIB = 128
BOARD_ADDRESS, OUTSIDE_ADDRESS = "10.9.9.1", "10.0.2.2"  # of the other end: the board; by a passed NIC the machine around it

PLATFORM = """\
vdev ioapic intr apic name myioapic
vdev 8259 loc 0x20
vdev 8259 loc 0xa0
vdev timer8254 intr myioapic:0
vdev mc146818 intr myioapic:8
vdev pckeyboard
vdev ser8250 intr myioapic:4 hostdev -
"""


@dataclasses.dataclass(frozen=True)
class Arch:
    """A VM's beginning on each architecture."""
    machine: machines.Machine
    build: str
    ram: str        # `ram` of the file, up to the size
    platform: str
    peers: dict     # QEMU's machines

    @property
    def qemu(self):
        """QEMU, started with no shell before it."""
        m, libraries = self.machine, f"/peers/usr/lib/{self.machine.triple}"
        return (f"{libraries}/{os.path.basename(m.loader)} --library-path {libraries} /peers/usr/bin/{m.qemu} -L /peers/usr/share/qemu "
                "-L /peers/usr/share/seabios -L /peers/usr/lib/ipxe/qemu "
                "-accel kvm -cpu host -smp 1 -nodefaults -no-user-config -display none -no-reboot -serial stdio")

    @property
    def cmdline(self):
        return f"console={self.machine.serial} quiet panic=-1"


X86 = Arch(X86_64, "build", "ram ", PLATFORM, {"microvm": "-M microvm,rtc=on", "q35": "-M q35"})
ARM = Arch(AARCH64, "build-aarch64", "ram 0x80000000,", "vdev pl011 loc 0x1c090000 intr gic:37 hostdev -\n",
           {"virt": "-M virt,gic-version=3 -global virtio-mmio.force-legacy=false"})
ARCHS = {arch.machine.name: arch for arch in (X86, ARM)}


@dataclasses.dataclass(frozen=True)
class Board:
    """A kind of board. iommu: it has devices to pass through, behind that."""
    arch: Arch
    iommu: str = None


BOARDS = {"x86_64": Board(X86), "x86_64-pass": Board(X86, "intel"), "aarch64": Board(ARM), "aarch64-pass": Board(ARM, "smmuv3")}

# qvm's vdevs, and where they are by MMIO on AArch64.
DEVICES = {"virtio-blk hostdev /tmp/b/disk": "loc 0x1c0d0000 intr gic:41", "virtio-net tapdev bhb0": "loc 0x1c0c0000 intr gic:40",
           "virtio-console hostdev >/tmp/b/console": "loc 0x1c0b0000 intr gic:39"}
QEMU_DEVICES = ("-object iothread,id=io -blockdev node-name=d,driver=file,filename=/tmp/b/disk,aio=io_uring "
                "-device virtio-blk-{bus},drive=d,iothread=io "
                "-netdev tap,id=n,ifname=bhb0,script=no,downscript=no,vhost=off -device virtio-net-{bus},netdev=n{rom} "
                "-device virtio-serial-{bus} -chardev file,id=c,path=/tmp/b/console -device virtconsole,chardev=c")
PASSED = ("nvme", "nic", "sound")
PASSED_DRIVERS = ("nvme", "e1000e", "snd_hda_codec_generic", "snd_hda_intel", "snd_pcm_oss")


def _program(source, compiler, *libraries):
    name, text = source.stem, cache.file_bytes(source)

    def build(path):
        subprocess.run([compiler, *CFLAGS, "-x", "c", source, "-o", path, *libraries], check=True)

    return cache.artifact(f"bench-{name}-{compiler}", cache.key(text, CFLAGS, compiler), build)


def _onboard(name, arch):
    return cache.file_bytes(_program(HERE / f"{name}.c", arch.machine.compiler))


def _small(source, compiler, *words):
    """A guest without an operating system."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([compiler, f"-DCOUNT={READ_COUNT}", *words, "-c", HERE / source, "-o", f"{folder}/guest.o"], check=True)
        tool = compiler.removesuffix("gcc").removesuffix("cc")
        subprocess.run([f"{tool}objcopy", "-O", "binary", f"{folder}/guest.o", f"{folder}/guest"], check=True)
        return cache.file_bytes(f"{folder}/guest")


def qvm_files(arch=X86):
    """qvm and its vdevs from the release build, as {path: bytes}."""
    build = TOP / arch.build
    if not (build / "qvm").exists():
        raise SystemExit(f"there is no {arch.build}/qvm: `make ARCH={arch.machine.name}` builds it")
    paths = [build / "qvm", build / "qvm-pass", *sorted((build / "vdevs").glob("vdev-*.so"))]
    return {str(path.relative_to(build)): path.read_bytes() for path in paths}


def key(name):
    """Of all that the numbers of a board depend on."""
    m, files = BOARDS[name].arch.machine, qvm_files(BOARDS[name].arch)
    how = [path.read_bytes() for path in (*sorted(HERE.iterdir()), TONE, HERE.parent / "machines.py", HERE.parent / "pieces.py")]
    kernel = full_kernel.kernel(m) if BOARDS[name].iommu else images.guest_kernel(m)
    return cache.key(name, *files.values(), [*files], *how, kernel, images.guest_initrd(m), images.peers(m))


def configuration(arch, initrd, devices="", kernel="vmlinuz"):
    return (f"{arch.ram}{MEMORY}m\nload /payload/{kernel}\ninitrd load /payload/initrd-{initrd}\ncmdline \"{arch.cmdline}\"\n"
            f"{arch.platform}{devices}")


def _passed_files(arch):
    """For the guest that gets devices of the host: their drivers, and what it needs besides."""
    tone = cache.file_bytes(_program(TONE, arch.machine.compiler, "-lm"))
    return {**full_kernel.module_files(PASSED_DRIVERS, arch.machine), "bin/tone": tone}


def fill(folder, board, script, peer):
    """Writes what a board gets at /payload. The guest with devices runs `script`, in which $PEER is the other end of its network."""
    arch, initrd = board.arch, cache.file_bytes(images.guest_initrd(board.arch.machine))
    traffic = _onboard("traffic", arch)
    test = {"bin/traffic": traffic, "test": f"#!/bin/busybox sh\nbusybox --install -s /bin\nset -e\nPEER={peer}\n{script}"}
    files = {**qvm_files(arch), "meter": _onboard("meter", arch), "traffic": traffic}
    if board.iommu:
        passed = "".join(f"pass loc {passing.place(name)}={passing.place(name)}\n" for name in PASSED)
        files |= {"vmlinuz": cache.file_bytes(full_kernel.kernel(arch.machine)),
                  "initrd-pass": initrd + cpio.archive({**_passed_files(arch), **test}),
                  "pass.qvmconf": configuration(arch, "pass", passed).encode()}
    else:
        by_pci = "".join(f"vdev {words}\n" for words in DEVICES)
        files |= {"vmlinuz": cache.file_bytes(images.guest_kernel(arch.machine)),
                  "initrd-boot": initrd + cpio.archive({"test": "#!/bin/sh\necho @@bye\n"}), "initrd-devices": initrd + cpio.archive(test),
                  "bare": _onboard("bare", arch),
                  "boot.qvmconf": configuration(arch, "boot").encode(),
                  "devices.qvmconf": configuration(arch, "devices", by_pci).encode()}
    if arch is ARM and not board.iommu:
        by_mmio = "".join(f"vdev {words} {at}\n" for words, at in DEVICES.items())
        files |= {"devices-mmio.qvmconf": configuration(arch, "devices", by_mmio).encode(),
                  "read.qvmconf": f"ram 0x80000000,1m\nload 0x80000000,/payload/read.bin\n{arch.platform}".encode()}
        for name, uart in {"read.bin": 0x1c090000, "read.rom": 0x09000000}.items():  # qvm's; bare's and QEMU's
            files[name] = _small("mmio.S", arch.machine.compiler, f"-DUART={uart:#x}")
    if arch is X86 and not board.iommu:
        files |= {"read.bin": _small("pio.S", "cc", "-m32"), "read.rom": _small("pio.S", "cc", "-m32", "-DFIRMWARE"),
                  "vmlinux": cache.file_bytes(images.guest_vmlinux()),
                  "boot-pvh.qvmconf": configuration(arch, "boot", kernel="vmlinux").encode(),
                  "read.qvmconf": f"ram 1m\nload 0x8000,/payload/read.bin\n{PLATFORM}".encode()}
    for name, data in files.items():
        path = pathlib.Path(folder) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        if not name.endswith((".qvmconf", ".bin", ".rom")):
            path.chmod(0o755)


def command(arch, what, machine):
    """A stock guest that says @@bye and powers off. what: `boot`; `devices`, with a disk, a network interface and a console besides the
    serial one; `pass`, with devices of the host. machine: qvm or QEMU's, `+pvh`: by an ELF kernel, `+mmio`: devices not by PCI."""
    name, _, way = machine.partition("+")
    if name == "qvm":
        return f"/payload/qvm @/payload/{what}{'-' + way if way else ''}.qvmconf"
    words = ""
    if what == "devices":
        pci = name != "microvm" and way != "mmio"
        words = QEMU_DEVICES.format(bus="pci" if pci else "device", rom=",romfile=" if pci else "")
    elif what == "pass":
        words = " ".join(f"-device vfio-pci,host={passing.host_name(device)},addr={passing.SLOTS[device]:#x}" for device in PASSED)
    return (f"{arch.qemu} {arch.peers[name]} {words} -m {MEMORY} -kernel /payload/{'vmlinux' if way == 'pvh' else 'vmlinuz'} "
            f"-initrd /payload/initrd-{what} -append '{arch.cmdline}'")


def read_command(arch, machine):
    """The guest that reads one port or register."""
    if machine == "bare":
        return f"/payload/bare /payload/read.{'bin' if arch is X86 else 'rom'}"
    if machine == "qvm":
        return "/payload/qvm @/payload/read.qvmconf"
    return f"{arch.qemu} {arch.peers[machine]} -m {MEMORY} -bios /payload/read.rom"


@contextlib.contextmanager
def _outside():
    """The other end of a passed NIC, on the machine around the board. Gives its address as the guest has it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([_program(HERE / "traffic.c", "cc"), "serve", f"127.0.0.1:{port}"]) as server:
        try:
            yield f"{OUTSIDE_ADDRESS}:{port}"
        finally:
            server.kill()


@contextlib.contextmanager
def running(name, script):
    """A board with all of it. The programs run with the root's rights there."""
    board = BOARDS[name]
    base = board.arch.machine
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("TMPDIR")))
        fill(folder, board, script, stack.enter_context(_outside()) if board.iommu else BOARD_ADDRESS)
        machine = passing.machine(base, board.iommu) if board.iommu else base
        yield stack.enter_context(boards.Board(payload=[folder], peers=True, machine=machine))
