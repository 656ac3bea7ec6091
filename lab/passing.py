# SPDX-License-Identifier: Apache-2.0
"""Boards with PCI devices to pass through to guests: behind an IOMMU or, to compare with, without one.

Each device has a slot that is the same on every board, and those that use INTx have a line each (a line is a slot
modulo 4). What the devices read and write is in the board's folder.
"""
import dataclasses
import struct

from lab.machines import AARCH64, X86_64

SLOTS = {"edu": 16, "serial": 17, "sound": 18, "nvme": 19, "nic": 20, "virtio-net": 21, "pair": 22}

IDS = {"edu": "1234 11e8"}  # as a driver's new_id takes them

NVME, NVME_SIZE = "nvme.img", 64 << 20
SOUND, SERIAL, ISA_SERIAL, ISA_PARALLEL = "sound.wav", "pci-serial.txt", "isa-serial.txt", "isa-parallel.txt"


def _rom():
    """An expansion ROM for the NIC: the header that Linux wants, of a kind that no firmware runs, and a text."""
    size = 2048
    header = struct.pack("<HB21xH6x", 0xaa55, size // 512, 32)
    structure = struct.pack("<4sHHHHB3sHHBBH", b"PCIR", 0x8086, 0x10d3, 0, 24, 0, b"\0\0\2", size // 512, 0, 3, 0x80, 0)
    return (header + structure + b"the NIC's expansion ROM\n" * 100)[:size]


FILES = ((NVME, b"", NVME_SIZE), ("nic.rom", _rom(), 2048))


def _devices():
    # Wider than by default: QEMU cuts longer addresses to the mask, and would reach another place.
    edu = "edu,dma_mask=0xffffffffffff"
    words = {
        "edu": (edu,),
        "serial": ("pci-serial,chardev=serial",),
        "sound": ("intel-hda",),
        "nvme": ("nvme,drive=nvme,serial=nvme0",),
        "nic": ("e1000e,netdev=nic,romfile=nic.rom",),
        "virtio-net": ("virtio-net-pci,netdev=virtio-net,iommu_platform=on,disable-legacy=on,romfile=",),
        "pair": (f"{edu},multifunction=on", "pci-serial,chardev=pair"),  # two functions, which are one IOMMU group
    }
    behind = ["-chardev", f"file,id=serial,path={SERIAL}", "-chardev", "null,id=pair", "-audiodev", f"wav,id=sound,path={SOUND}",
              "-blockdev", f"node-name=nvme,driver=file,filename={NVME}", "-netdev", "user,id=nic", "-netdev", "user,id=virtio-net"]
    for name, functions in words.items():
        for function, device in enumerate(functions):
            behind += ["-device", f"{device},addr={SLOTS[name]:#x}.{function}"]
    return (*behind, "-device", "hda-output,audiodev=sound")


ISA_DEVICES = ("-chardev", f"file,id=isa-serial,path={ISA_SERIAL}", "-device", "isa-serial,chardev=isa-serial,iobase=0x2f8,irq=3,index=1",
               "-chardev", f"file,id=isa-parallel,path={ISA_PARALLEL}", "-device", "isa-parallel,chardev=isa-parallel")

# With remapped interrupts a kernel gives up when the timer does not tick in time at its start, as happens on a loaded machine.
NO_CHECK = "no_timer_check"

# What makes the IOMMU: for QEMU, for the host's kernel; another host where Debian's cloud kernel has no driver for it.
IOMMUS = {
    X86_64.name: {
        "intel": {"qemu": ("-device", "intel-iommu,intremap=on,caching-mode=on"), "kernel": f"intel_iommu=on {NO_CHECK}"},
        "amd": {"qemu": ("-device", "amd-iommu,intremap=on"), "kernel": f"amd_iommu=on {NO_CHECK}", "board_kernel": ("linux-image-amd64",)},
        "none": {},
    },
    AARCH64.name: {
        "smmuv3": {"qemu": ("-machine", "iommu=smmuv3")},
        "none": {},
    },
}


def machine(base, iommu):
    """The machine of a board that is `base` with that IOMMU and the devices. It is booted each time: QEMU does not save some of them."""
    kinds = IOMMUS[base.name]
    if iommu not in kinds:
        raise ValueError(f"a board of {base.name} has no IOMMU {iommu}; there are {', '.join(kinds)}")
    made = kinds[iommu]
    isa = ISA_DEVICES if base.name == X86_64.name else ()
    return dataclasses.replace(
        base, qemu_args=(*base.qemu_args, *made.get("qemu", ()), *_devices(), *isa),
        kernel_args=f"{base.kernel_args} {made.get('kernel', '')}", board_kernel=made.get("board_kernel", base.board_kernel),
        files=FILES, resumes=False)


def host_name(device, function=0):
    """A device's name in the host's Linux."""
    return f"0000:00:{SLOTS[device]:02x}.{function}"


def place(device, function=0):
    """The same in a VM's file."""
    return f"pci:0:{SLOTS[device]}.{function}"
