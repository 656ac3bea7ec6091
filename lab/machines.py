# SPDX-License-Identifier: Apache-2.0
"""The two kinds of boards, and what differs between them."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Machine:
    """A board's architecture: that of its host, and of its guests."""
    name: str            # as `uname -m` has it
    debian: str          # Debian's word for it
    triple: str
    loader: str          # the dynamic loader's path
    compiler: str
    qemu: str
    qemu_args: tuple
    kernel_args: str
    board_kernel: tuple  # packages
    guest_kernel: tuple
    newer_kernel: tuple  # that some guests run
    serial: str          # a guest's first serial port
    resumes: bool        # a saved board goes on as it was
    files: tuple = ()    # (name, first bytes, size) of files in the folder of a board, for its devices

    def named(self, name):
        """An artifact's name."""
        return name if self.name == X86_64.name else f"{name}-{self.name}"


X86_64 = Machine(
    name="x86_64", debian="amd64", triple="x86_64-linux-gnu", loader="lib64/ld-linux-x86-64.so.2", compiler="cc",
    qemu="qemu-system-x86_64",
    qemu_args=("-cpu", "max,xsave=off", "-machine", "q35,accel=tcg,memory-backend=memory"),
    kernel_args="console=ttyS0 quiet panic=-1 reboot=t tsc=reliable",
    board_kernel=("linux-image-cloud-amd64",), guest_kernel=("linux-image-cloud-amd64",),
    newer_kernel=("linux-image-6.12-cloud-amd64",), serial="ttyS0", resumes=True)

# Virtualization host extensions make an exit to user space twice as fast as on a processor without them. The host's
# kernel is newer than the guests': it can move a guest's counter and filter its calls. Some saved boards come back
# with the processors' timers dead (QEMU 7.2; a host at EL2 uses the hypervisor's timer), so that a `sleep 1` or the host's next
# grace period of RCU does not end: each is booted.
AARCH64 = Machine(
    name="aarch64", debian="arm64", triple="aarch64-linux-gnu", loader="lib/ld-linux-aarch64.so.1",
    compiler="aarch64-linux-gnu-gcc", qemu="qemu-system-aarch64",
    qemu_args=("-cpu", "neoverse-n1", "-machine", "virt,virtualization=on,gic-version=3,memory-backend=memory",
               "-accel", "tcg,thread=multi"),
    kernel_args="console=ttyAMA0 quiet panic=-1",
    board_kernel=("linux-image-6.12-cloud-arm64",), guest_kernel=("linux-image-cloud-arm64",),
    newer_kernel=("linux-image-6.12-cloud-arm64",), serial="ttyAMA0", resumes=False)

# Its host can give guests a GICv2 and nothing else.
AARCH64_GIC2 = dataclasses.replace(AARCH64, qemu_args=(
    "-cpu", "cortex-a57", "-machine", "virt,virtualization=on,gic-version=2,memory-backend=memory", "-accel", "tcg,thread=multi"))

BY_NAME = {machine.name: machine for machine in (X86_64, AARCH64)}
