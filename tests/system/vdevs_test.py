# SPDX-License-Identifier: Apache-2.0
"""The vdevs beyond a PC's platform and VirtIO's usual set, used by stock guests."""
import hashlib
import pathlib
import re
import struct

import pytest

import guests
from guests import marked
from lab import cpio, full_kernel, images


def test_trace_counts_and_tells(host):
    """A guest's program reads and writes the cell by /dev/mem; the log and the host kernel's trace tell of it."""
    host.run("mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; echo > /sys/kernel/tracing/trace")
    configuration, archive = guests.linux(
        "a=$(devmem 0xfa000000); sleep 2; echo later=$(($(devmem 0xfa000000) - a)); devmem 0xfa000000 32 1000000; "
        "echo set=$(($(devmem 0xfa000000)))", extra="vdev trace loc 0xfa000000 emit-logger emit-trace 12\n")
    result = host.qvm(configuration, archive)
    text = result.text.replace("\r\n", "\n")
    assert 1 <= int(marked(text, "later")) <= 60
    assert 1000000 <= int(marked(text, "set")) <= 1000060
    assert "vdev trace: write 1000000" in result.error
    assert "vdev trace: event 12: write 1000000" in host.run("cat /sys/kernel/tracing/trace").text


@pytest.fixture(scope="module")
def full(board):
    """Debian's kernel with all drivers, on the board; returns the files of its modules."""
    with open(full_kernel.kernel(), "rb") as kernel:
        board.push(kernel.read(), "/tmp/vmlinuz-full", timeout=120)
    return full_kernel.module_files(["ib700wdt"], load=False)


def full_linux(host, files, script, **options):
    run = {key: options.pop(key) for key in ("timeout", "check") if key in options}
    configuration, _ = guests.linux(None, **options)
    archive = cpio.archive({**files, "test": "#!/bin/busybox sh\nbusybox --install -s /bin\n" + script})
    return host.qvm(configuration.replace("/payload/vmlinuz", "/tmp/vmlinuz-full"), archive, timeout=150, **run)


# The kernel's timeout is longer than a board's pauses; a second later than it the watchdog must have bitten.
WATCHDOG = ("insmod /modules/ib700wdt.ko timeout=10; exec 3> /dev/watchdog; for i in $(seq 14); do echo k >&3; sleep 1; done; "
            "echo kicked=$i; ")


def test_watchdog_bites_a_guest_that_no_longer_kicks_it(host, full):
    """Linux's own driver: as long as it kicks nothing happens; then the guest is dumped and the VM ends with status 4."""
    host.run("mkdir -p /tmp/t/dumps")
    result = full_linux(host, full, WATCHDOG + "sleep 60; echo survived=yes", check=False,
                        extra="dump /tmp/t/dumps\nvdev wdt-ib700 action dump,terminate\n")
    assert result.status == 4, result.error
    assert marked(result.text.replace("\r\n", "\n"), "kicked") == "14"
    assert "survived" not in result.text
    assert "has not kicked its watchdog in time" in result.error
    assert re.search(r"the guest is dumped to '/tmp/t/dumps/qvm-guest-.*\.gcore'", result.error)
    host.run("ls /tmp/t/dumps/qvm-guest-*.gcore")


def test_watchdog_is_stopped_by_its_driver(host, full):
    result = full_linux(host, full, WATCHDOG.replace("14", "2") + "echo V >&3; exec 3>&-; sleep 15; echo survived=yes",
                        extra="vdev wdt-ib700\n")
    assert marked(result.text.replace("\r\n", "\n"), "survived") == "yes"


def test_dummy_has_the_ids_of_a_device_of_the_host(host):
    """lspci in the guest says of the dummy what it says of the device in the host; given ids at a fixed place; function 0."""
    script = ("mount -o ro -t squashfs /dev/vda /mnt; mount -t proc proc /mnt/proc; mount -t sysfs sys /mnt/sys; "
              "chroot /mnt lspci -n; chroot /mnt lspci -n -v -s 00:02.0")
    text = host.linux(script, extra="vdev virtio-blk hostdev </payload/tools.squashfs\nvdev pci-dummy clone pci:0:0.0\n"
                      "vdev pci-dummy loc pci:0:31.0 vendor 8086 device 2918 class 060100 revision 2\n"
                      "vdev pci-dummy loc pci:0:31.3 vendor 8086 device 2930 class 0c0500\n")
    host_line = host.run("lspci -n -s 00:00.0").text.split(" ", 1)[1].strip()
    assert f"00:02.0 {host_line}" in text
    subsystem = "".join(host.run(f"cut -c3- /sys/bus/pci/devices/0000:00:00.0/subsystem_{name}").text.strip() + ":"
                        for name in ("vendor", "device"))[:-1]
    assert f"Subsystem: {subsystem}" in text
    assert "00:1f.0 0601: 8086:2918 (rev 02)" in text
    assert "00:1f.3 0c05: 8086:2930" in text


def test_verified_boot_starts_what_it_knows_and_nothing_else(host):
    """Linux and its initrd boot with their digests. With one bit of one digest wrong the guest executes nothing."""
    configuration, archive = guests.linux("echo booted=yes")
    with open(images.guest_kernel(), "rb") as file:
        kernel = hashlib.sha256(file.read()).hexdigest()
    host.prepare("", archive)
    initrd = host.run("sha256sum < /tmp/t/initrd").text.split()[0]
    wrong = initrd[:-1] + f"{int(initrd[-1], 16) ^ 1:x}"
    line = "vdev verified-boot digest {},/payload/vmlinuz digest {},/tmp/t/initrd\n"
    result = host.qvm(configuration + line.format(kernel, initrd), archive)
    assert marked(result.text.replace("\r\n", "\n"), "booted") == "yes"
    result = host.qvm(configuration + line.format(kernel, wrong), archive, check=False)
    assert result.status == 64
    assert "'/tmp/t/initrd' has another SHA-256 digest: the guest does not start" in result.error
    assert result.text == ""


def test_verified_boot_patches_memory_and_registers(host):
    """The guest without an operating system says what the patch has put in place of its own text."""
    digest = hashlib.sha256(guests.RAW_HI).hexdigest()
    configuration = ("ram 1m\nload 0x8000,/payload/hi.bin\nvdev ser8250 hostdev >-\n"
                     f"vdev verified-boot digest {digest},/payload/hi.bin\n")
    assert host.qvm(configuration).text == "Hi\n"
    assert host.qvm(configuration + f"patch {0x8004:x},{ord('Y'):02x}\n").text == "Yi\n"
    # Past the first character: rip counts from the code segment, dx is the serial port.
    assert host.qvm(configuration + "register rip,6 register rdx,3f8\n").text == "i\n"
    other = host.qvm(configuration.replace(digest, "0" * 64), check=False)
    assert other.status == 64 and other.text == ""


def test_verified_boot_wants_a_digest_of_a_users_table(host):
    table = bytearray(b"SSDT" + struct.pack("<IBB6s8sI4sI", 36, 2, 0, b"USERS ", b"OWNTABLE", 7, b"TEST", 1))
    table[9] = -sum(table) & 0xff
    host.board.push(bytes(table), "/tmp/t.aml")
    configuration = ("ram 16m\nload 0x8000,/payload/hi.bin\nacpi load /tmp/t.aml\nvdev ser8250 hostdev >-\n"
                     f"vdev verified-boot digest {hashlib.sha256(guests.RAW_HI).hexdigest()},/payload/hi.bin\n")
    result = host.qvm(configuration, check=False)
    assert result.status == 64 and result.text == ""
    assert "'/tmp/t.aml' is loaded and has no digest: the guest does not start" in result.error
    assert host.qvm(configuration + f"digest {hashlib.sha256(table).hexdigest()},/tmp/t.aml\n").text == "Hi\n"


# Nine seconds later than in the file: the guest must listen first, and a board may be slow.
RECORDING = re.sub(r"^E: 0\.(?!000000)", "E: 9.", (pathlib.Path(__file__).resolve().parents[2] / "vdevs/virtio-input/hello.evemu").read_text(),
                   flags=re.M)
# Prints type, code and value of each event: words 8, 9 and 10 of 12.
LISTENER = """\
insmod /modules/evdev.ko; insmod /modules/virtio_input.ko
show() { hexdump -v -e '12/2 "%u " "\\n"' | awk -v mark=$1 '{print mark "=" $9, $10, $11}'; }
for node in /sys/class/input/event*; do
	case "$(cat $node/device/phys):$(cat $node/device/name)" in
	virtio*:"Recorded keyboard") exec 5< /dev/input/${node##*/};;
	virtio*) passed=/dev/input/${node##*/}; echo "passed-name=$(cat $node/device/name)";;
	esac
done
exec 4< $passed; cat <&4 > /tmp/passed & reader=$!
devmem 0xfa001000 8 50
dd bs=24 count=12 <&5 2> /dev/null | show recorded
for i in $(seq 100); do [ $(stat -c %s /tmp/passed) -ge 96 ] && break; usleep 100000; done
kill $reader; show passed < /tmp/passed
printf 'LIGHT' > $passed
for i in $(seq 100); do [ "$(cat /sys/class/leds/*capslock/brightness)" = 1 ] && break; usleep 100000; done
echo "light=$(cat /sys/class/leds/*capslock/brightness)"
exec 3< $passed; devmem 0xfa001000 8 90
dd bs=24 count=1 <&3 > /dev/null 2>&1
devmem 0xfa001000 8 100
"""
KEY_A, LED_CAPS_LOCK = 30, 1


def event(kind, code, value):
    return "\\0" * 16 + "".join(f"\\x{byte:02x}" for byte in struct.pack("<HHi", kind, code, value))


def test_input_and_progress(host):
    """Stock virtio_input and evdev: a recording is played; what happens on the host's keyboard happens on the guest's, and the guest's
    light is the host's. The guest says by its progress byte when it listens."""
    node = host.run("modprobe evdev; grep -l 'AT Translated' /sys/class/input/event*/device/name | head -1 | cut -d/ -f5").text.strip()
    node, light = f"/dev/input/{node}", "cat /sys/class/leds/*capslock/brightness"
    modules = {f"modules/{name}.ko": next(data for path, data in images.module_files([name]).items() if path.endswith(f"/{name}.ko"))
               for name in ("evdev", "virtio_input")}
    configuration, _ = guests.linux(
        None, extra=f"vdev virtio-input hostdev /tmp/t/hello.evemu\nvdev virtio-input hostdev {node}\n"
        'vdev progress loc mem:0xfa001000 hostdev >/tmp/t/progress step "50=listening"\n')
    script = LISTENER.replace("LIGHT", event(17, LED_CAPS_LOCK, 1) + event(0, 0, 0))
    archive = cpio.archive({"test": "#!/bin/busybox sh\nbusybox --install -s /bin\n" + script, **modules})
    host.board.push(RECORDING.encode(), "/tmp/t/hello.evemu")
    assert host.run(light).text.split() == ["0"]
    command = host.start(configuration, archive)

    def wait_for(what):
        host.run(f"for i in $(seq 900); do grep -qx '{what}' /tmp/t/progress && exit 0; sleep 0.1; done; exit 1", timeout=120)

    strokes = "".join(event(1, KEY_A, pressed) + event(0, 0, 0) for pressed in (1, 0))
    wait_for("50 listening")
    host.run(f"printf '{strokes}' > {node}")
    wait_for("90")
    # When the VM ends the host's keyboard goes back to the host, lights too: so the guest waits for one more stroke.
    lit = host.run(f"for i in $(seq 100); do x=$({light}); [ $x = 1 ] && break; sleep 0.1; done; echo $x").text.split()
    host.run(f"printf '{strokes}' > {node}")
    result = command.wait(timeout=90)
    text = result.text.replace("\r", "")
    assert result.status == 0, text + result.error
    assert marked(text, "passed-name") == "AT Translated Set 2 keyboard"
    assert re.findall(r"^recorded=(.*)$", text, re.M) == [
        line for key in (35, 23, 28) for value in (1, 0) for line in (f"1 {key} {value}", "0 0 0")]
    assert re.findall(r"^passed=(.*)$", text, re.M) == [f"1 {KEY_A} 1", "0 0 0", f"1 {KEY_A} 0", "0 0 0"]
    assert marked(text, "light") == "1"
    assert lit == ["1"]
    assert host.run("cat /tmp/t/progress").text == "100\n"
    assert "vdev progress: 50 listening" in result.error
