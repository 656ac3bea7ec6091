# SPDX-License-Identifier: Apache-2.0
"""Starting and ending: raw guests, a stock Linux guest on 1 to 16 vCPUs, the documented exit statuses."""
import pathlib
import re
import warnings

import pytest

import guests
from guests import SERIAL, marked
from lab import cpio, images


def test_raw_guest_prints_through_ser8250(host):
    result = host.qvm("ram 1m\nload 0x7c00,/payload/hi.bin\nvdev ser8250 hostdev >-\n")
    assert result.text == "Hi\n"


def test_raw_guest_at_first_free_ram(host):
    assert host.qvm("ram 1m\nload /payload/hi.bin\nvdev ser8250 hostdev >-\n").text == "Hi\n"


@pytest.mark.parametrize("machine,cpus", [("kernel", 1), ("kernel", 4), ("kernel", 16), ("split", 1), ("split", 4)],
                         indirect=["machine"])
def test_linux_reaches_init_on(host, machine, cpus):
    script = ("echo cpus=$(nproc); echo version=$(uname -r); cd /sys/devices/system/cpu; "
              "echo packages=$(cat cpu*/topology/physical_package_id | sort -u | wc -l); "
              "echo cores=$(cat cpu*/topology/core_cpus_list | sort -u | wc -l); "
              "echo nested=$(grep -cwE 'svm|vmx' /proc/cpuinfo)")
    log = "vdev ser8250 intr myioapic:4 hostdev >/tmp/t/serial\n"  # what the kernel says before its console is there

    def boot():
        result = host.qvm(*guests.linux(script, cpus=cpus, serial=log, cmdline="console=ttyS0 console=hvc0"),
                          before="touch /tmp/t/serial", timeout=150)
        return result.text.replace("\r\n", "\n"), f"{result.error}\n{host.run('tail -c 4000 /tmp/t/serial').text}"

    text, said = boot()
    if cpus == 16 and "cpus=" not in text:
        # About 1 of 10 such guests triple-faults while its CPUs start, under QEMU's microvm on the same board as under qvm:
        # the board's emulated SVM. Once more, and no more; the first one's words stand in the report.
        warnings.warn(f"a guest with 16 vCPUs ended before its console was there:\n{said}")
        text, said = boot()
    assert "cpus=" in text, said
    assert marked(text, "cpus") == str(cpus)
    assert (marked(text, "packages"), marked(text, "cores"), marked(text, "nested")) == ("1", str(cpus), "0")
    assert "cloud-amd64" in marked(text, "version")


def test_linux_by_serial_console(host, machine):
    text = host.linux("echo said=it", console="", serial=SERIAL)
    assert marked(text, "said") == "it"


def test_poweroff_is_status_0(host):
    assert "never" not in host.qvm(*guests.linux("poweroff -f; sleep 5; echo never")).text


@pytest.mark.parametrize("how", ["", "reboot=k", "reboot=t", "reboot=a"])
def test_reboot_is_status_0(host, how):
    """The default way (the code at the reset vector), the keyboard controller, a triple fault, ACPI."""
    assert "never" not in host.qvm(*guests.linux("reboot -f; sleep 5; echo never", cmdline=how)).text


def test_kernel_log_is_clean(host, machine):
    text = host.linux("dmesg", cpus=4, extra="vdev virtio-entropy\n")
    bad = [line for line in text.splitlines()
           if re.search(r"Firmware Bug|ACPI (BIOS )?(Error|Warning|Exception)|BUG:|WARNING:|Call Trace", line)]
    assert not bad
    assert "Hypervisor detected: KVM" in text
    assert "ACPI: Reserving DSDT" in text


def test_debians_newer_kernel(host):
    """Linux 6.12 with modules of its own: processors, console, disk and a clean log."""
    configuration, archive = guests.linux("echo release=$(uname -r); echo cpus=$(nproc); dd if=/dev/vda bs=64k count=16 2> /dev/null | sha256sum "
                                          "| sed s/^/hash=/; dmesg", cpus=2, extra="vdev virtio-blk hostdev /dev/board/scratch\n")
    host.board.push(pathlib.Path(images.newer_kernel()).read_bytes(), "/tmp/t/newer")
    host.run("dd if=/dev/urandom of=/dev/board/scratch bs=64k count=16 2> /dev/null")
    text = host.qvm(configuration.replace("/payload/vmlinuz", "/tmp/t/newer"), archive + cpio.archive(images.newer_kernel_modules())).text
    text = text.replace("\r\n", "\n")
    assert marked(text, "release").startswith("6.12.") and marked(text, "cpus") == "2"
    assert marked(text, "hash").split()[0] == host.run("head -c 1M /dev/board/scratch | sha256sum").text.split()[0]
    assert not re.findall("(?m)^.*(?:Firmware Bug|ACPI (?:BIOS )?(?:Error|Warning|Exception)|BUG:|WARNING:|Call Trace).*$", text)


def test_power_button_reaches_the_guest(host, machine):
    """SIGTERM: the guest's own ACPI driver sees the event device's interrupt."""
    script = "grep -i ged /proc/interrupts; echo ready; i=0; while [ $i -lt 100 ]; do " \
             "n=$(awk '/Ged/{print $2}' /proc/interrupts); [ \"$n\" -gt 0 ] && break; usleep 100000; i=$((i+1)); done; " \
             "echo pressed=$n"
    configuration, archive = guests.linux(script)
    command = host.start(configuration, archive)
    command.read_until("ready", timeout=90)
    host.run("pkill -TERM -x qvm")
    result = command.wait(timeout=60)
    assert result.status == 0
    assert int(marked(result.text, "pressed")) >= 1


def test_second_signal_ends_the_vm(host):
    configuration, archive = guests.linux("echo ready; sleep 60")
    command = host.start(configuration, archive)
    command.read_until("ready", timeout=90)
    host.run("pkill -INT -x qvm; sleep 0.5; pkill -INT -x qvm")
    assert command.wait(timeout=30).status == 3


def test_sigquit_is_a_power_cut(host):
    configuration, archive = guests.linux("echo ready; sleep 60")
    command = host.start(configuration, archive)
    command.read_until("ready", timeout=90)
    host.run("pkill -QUIT -x qvm")
    assert command.wait(timeout=30).status == 3


def test_two_vms_of_one_name(host):
    configuration, archive = guests.linux("echo ready; sleep 60")
    command = host.start("system twice\n" + configuration, archive)
    command.read_until("ready", timeout=90)
    second = host.board.run(host.command(), check=False)
    assert second.status == 64
    assert "a VM called 'twice' is running" in second.error
    host.run("pkill -QUIT -x qvm")
    assert command.wait(timeout=30).status == 3
    assert host.run("ls /run/qvm").text == ""


def test_unsupported_reference_rules(host):
    """A read of a port with nothing behind it: ignored by default, ends the VM or gives an exception by the file."""
    code = (b"\xc7\x06\x34\x00\x15\x00"  # the vector of exception 13 (general protection): 0x7c0:0x15
            b"\xc7\x06\x36\x00\xc0\x07"
            b"\xe4\x99"  # in al, 0x99
            b"\xba\x03\x06\xb0\x01\xee\xf4"  # the reset register
            b"\xba\xf8\x03\xb0G\xee\xba\x03\x06\xb0\x01\xee\xf4")  # 0x15: "G" on COM1, reset
    host.board.push(code, "/tmp/touch.bin")
    base = "ram 1m\nload 0x7c00,/tmp/touch.bin\nvdev ser8250 hostdev >-\n"
    assert host.qvm(base).text == ""
    aborted = host.qvm(base + "unsupported reference abort\n", check=False)
    assert aborted.status == 5
    assert "port 0x99" in aborted.error
    assert host.qvm(base + "unsupported reference fail\n", timeout=20).text == "G"


def test_files_that_would_overlap_are_refused(host):
    """With both named; and the ACPI tables count as one of them."""
    host.run("head -c 200 /dev/zero > /tmp/d; head -c 65536 /dev/zero > /tmp/big")
    both = host.qvm("ram 1m\ndata load 0x8000,/tmp/d\nload 0x8010,/tmp/d\n", check=False)
    assert both.status == 64 and "vm.qvmconf:3:13" in both.error and "vm.qvmconf:2:18: note" in both.error
    # Over the place of the tables: they go elsewhere.
    assert host.qvm("ram 16m\ndata load 0xd8000,/tmp/big\nload 0x7c00,/payload/hi.bin\nvdev ser8250 hostdev >-\n").text == "Hi\n"


def test_a_fault_in_a_string_access(host):
    """`unsupported reference fail`, and `rep insb` from an empty port to where no memory is: the VM ends by a documented
    end, not by a damaged process."""
    for _ in range(2):
        result = host.qvm("ram 1m\nunsupported reference fail\nload 0x8000,/payload/faults.bin\nvdev ser8250 hostdev >-\n",
                          check=False, timeout=60)
        assert result.status == 0, (result.status, result.error)
        assert "triple fault" in result.error
