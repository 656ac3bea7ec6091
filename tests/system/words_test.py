# SPDX-License-Identifier: Apache-2.0
"""Words of the language that act while a VM runs: dump, user, debug, runmask, sched, and the signals that go with them."""
import hashlib
import struct
import subprocess
import time

import foreign
import guests
from guests import marked

# Stores 0x1234 at 0x500, has 0xbeef in BX, says "R", then a dot now and then for ever.
DOTS = (b"\xb8\x34\x12\xa3\x00\x05\xbb\xef\xbe\xba\xf8\x03\xb0R\xee"
        b"\x66\xb9\x00\x00\x20\x00\x67\xe2\xfd\xb0.\xee\xeb\xf2")
# Sends the 64 bytes behind it by `rep outsb`, for ever.
PATTERN = bytes(range(0x30, 0x70))
STRINGS = (b"\x31\xc0\x8e\xd8\xba\xf8\x03\xbe\x20\x7c\xb9\x40\x00\xfc\xf3\x6e\xeb\xf5".ljust(0x20, b"\x90") + PATTERN)
RAW = "ram 0,640k\nram 1m,1m\nload 0x7c00,/tmp/guest.bin\n"


def wait_for(host, condition, timeout=60):
    host.run(f"i=0; until {condition}; do i=$((i+1)); [ $i -lt {timeout * 5} ] || exit 1; sleep 0.2; done", timeout=timeout + 30)


def start_dots(host, words, **options):
    host.board.push(DOTS, "/tmp/guest.bin")
    command = host.start(words + RAW + "vdev ser8250 hostdev >-\n", **options)
    command.read_until(r"R\.", timeout=60)
    return command


def stop(host, command):
    host.run("pkill -QUIT -x qvm")
    result = command.wait(timeout=60)
    assert result.status == 3
    assert "ERROR: AddressSanitizer" not in result.error and "runtime error" not in result.error, result.error[-4000:]
    return result


def read_core(path):
    """Program headers as (type, offset, virtual, physical, size in file, size in memory), and notes as (name, type, bytes)."""
    data = path.read_bytes()
    kind, machine, _, _, at, _, _, _, size, num, _, _, _ = struct.unpack_from("<HHIQQQIHHHHHH", data, 16)
    assert (data[:5], kind, machine, size) == (b"\x7fELF\x02", 4, 62, 56)
    heads = [struct.unpack_from("<IIQQQQQQ", data, at + size * i) for i in range(num)]
    heads = [(h[0], *h[2:7]) for h in heads]
    assert [h[0] for h in heads] == [4] + [1] * (num - 1)
    notes, at, end = [], heads[0][1], heads[0][1] + heads[0][4]
    while at < end:
        name_len, len_, type_ = struct.unpack_from("<III", data, at)
        name = data[at + 12:at + 12 + name_len].rstrip(b"\0").decode()
        at += 12 + (name_len + 3) // 4 * 4
        notes.append((name, type_, data[at:at + len_]))
        at += (len_ + 3) // 4 * 4
    return data, heads[1:], notes


def test_a_dump_has_registers_and_memory_and_the_guest_goes_on(host, tmp_path):
    host.run("mkdir -p /tmp/t/dumps")
    command = start_dots(host, "system dumped\ndump /tmp/t/dumps\ncpu cpu\n")
    host.run("pkill -USR2 -x qvm")
    wait_for(host, "ls /tmp/t/dumps/*.gcore 2> /dev/null")
    for _ in range(5):  # it runs
        command.read_until(r"\.", timeout=60)
    host.run("pkill -USR2 -x qvm")
    wait_for(host, "[ $(ls /tmp/t/dumps | wc -l) = 2 ]")
    command.read_until(r"\.", timeout=60)
    result = stop(host, command)
    assert result.error.count("the guest is dumped to '/tmp/t/dumps/dumped-") == 2
    names = host.run("ls /tmp/t/dumps").text.split()
    path = tmp_path / "x.gcore"
    path.write_bytes(host.board.fetch(f"/tmp/t/dumps/{names[0]}"))
    assert subprocess.run(["readelf", "-a", path], capture_output=True, text=True, check=True).stderr == ""
    data, loads, notes = read_core(path)
    # physical addresses, sizes: both pieces of memory, whole
    assert [(h[3], h[4], h[5] if len(h) > 5 else h[4]) for h in loads] == [(0, 0xa0000, 0xa0000), (1 << 20, 1 << 20, 1 << 20)]
    assert data[loads[0][1] + 0x500:][:2] == b"\x34\x12"
    assert data[loads[0][1] + 0x7c00:][:len(DOTS)] == DOTS
    assert len(data) == loads[1][1] + loads[1][4]
    assert [(name, type_) for name, type_, _ in notes] == [("CORE", 1), ("BULKHEAD", 1)] * 2 + [("BULKHEAD", 2)]
    registers = struct.unpack_from("<27Q", notes[0][2], 112)
    assert registers[5] & 0xffff == 0xbeef, "rbx"
    assert registers[16] in range(len(DOTS)), "rip"
    version, vcpu, cr0 = struct.unpack_from("<IIQ", notes[1][2])
    assert (version, vcpu, cr0 & 1) == (1, 0, 0), "real mode"
    assert struct.unpack_from("<II", notes[3][2]) == (1, 1)


def test_dumps_of_one_second_get_numbers_and_then_end(host):
    """Ten names; the eleventh dump is refused, and the VM runs on."""
    host.run("mkdir -p /tmp/t/dumps && date +%s > /tmp/t/now")
    command = start_dots(host, "dump /tmp/t/dumps\n")
    # Every name of the next two minutes but one is taken.
    host.run("cd /tmp/t/dumps; now=$(cat /tmp/t/now); for i in $(seq 0 180); do n=qvm-guest-$(date -d @$((now + i)) +%Y%m%d-%H%M%S); "
             "for k in '' -1 -2 -3 -4 -5 -6 -7 -8; do : > $n$k.gcore; done; done", timeout=120)
    host.run("pkill -USR2 -x qvm")
    wait_for(host, "ls /tmp/t/dumps/*-9.gcore 2> /dev/null")
    assert stop(host, command).error.count("the guest is dumped") == 1


def test_a_dump_into_a_command(host):
    command = start_dots(host, 'dump "|head -c 4 > /tmp/t/head; cat | wc -c > /tmp/t/size"\n')
    host.run("pkill -USR2 -x qvm")
    wait_for(host, "[ -s /tmp/t/size ]")
    command.read_until(r"\.\.", timeout=60)
    assert "the guest is dumped to '|head" in stop(host, command).error
    assert host.run("cat /tmp/t/head").text == "\x7fELF"
    assert int(host.run("cat /tmp/t/size").text) > 0x1a0000 - 70000


def test_a_command_that_fails_and_one_that_takes_nothing(host):
    command = start_dots(host, 'dump "|cat > /dev/null; exit 3"\n')
    host.run("pkill -USR2 -x qvm; sleep 2")
    command.read_until(r"\.\.", timeout=60)
    assert "no dump to '|cat > /dev/null; exit 3': the command has failed" in stop(host, command).error
    command = start_dots(host, 'dump "|sleep 1000"\n')
    host.run("pkill -USR2 -x qvm; sleep 1")
    start = time.monotonic()
    assert "no dump to '|sleep 1000': the VM is to end" in stop(host, command).error
    assert time.monotonic() - start < 25


def test_nothing_is_lost_where_a_dump_breaks_into_a_string(host):
    host.board.push(STRINGS, "/tmp/guest.bin")
    host.run("mkdir -p /tmp/t/dumps; touch /tmp/t/out")
    command = host.start("dump /tmp/t/dumps\n" + RAW + "vdev ser8250 hostdev >/tmp/t/out\n")
    wait_for(host, "[ -s /tmp/t/out ]")
    for i in range(1, 6):
        host.run("pkill -USR2 -x qvm")
        wait_for(host, f"[ $(ls /tmp/t/dumps | wc -l) = {i} ]")
    stop(host, command)
    said = host.board.fetch("/tmp/t/out")
    assert len(said) > 640
    assert said == (PATTERN * (len(said) // 64 + 1))[:len(said)]


def test_a_stock_guest_does_not_notice_dumps(host):
    script = "echo ready; sleep 12; dmesg | grep -ciE 'stall|lockup|clocksource.*unstable' > /tmp/n; echo bad=$(cat /tmp/n)"
    host.run("mkdir -p /tmp/t/dumps")
    command = host.start(*guests.linux(script, cpus=4, extra="dump /tmp/t/dumps\n"))
    command.read_until("ready", timeout=120)
    for i in range(1, 3):
        host.run("pkill -USR2 -x qvm")
        wait_for(host, f"[ $(ls /tmp/t/dumps/*.gcore | wc -l) = {i} ]", timeout=90)
    result = command.wait(timeout=120)
    assert result.status == 0 and marked(result.text.replace("\r\n", "\n"), "bad") == "0"


def test_a_signal_that_was_ignored_stays_so(host):
    """As under nohup: without an ioapic the first SIGHUP would end the VM. What ends nothing is not meant: a dump is made."""
    host.board.push(DOTS, "/tmp/guest.bin")
    host.prepare('dump "|wc -c > /tmp/t/size"\n' + RAW + "vdev ser8250 hostdev >-\n")
    command = host.board.popen(f"trap '' HUP USR2 CHLD; exec {host.command()} < /dev/null")
    command.read_until(r"R\.", timeout=60)
    host.run("pkill -HUP -x qvm; pkill -USR2 -x qvm")
    wait_for(host, "[ -s /tmp/t/size ]")
    command.read_until(r"\.\.", timeout=60)
    error = stop(host, command).error
    assert "without telling the guest" not in error and "the guest is dumped to '|wc" in error, error


def test_no_dump_without_a_place(host):
    command = start_dots(host, "")
    host.run("pkill -USR2 -x qvm")
    command.read_until(r"\.\.", timeout=60)
    assert "SIGUSR2 dumps the guest if the configuration says where" in stop(host, command).error


def test_a_status_report_names_the_vdevs(host):
    host.board.push(DOTS, "/tmp/guest.bin")
    command = host.start(RAW + "vdev ser8250 hostdev >-\nvdev mc146818 set debug off\nvdev virtio-entropy name rng\n")
    command.read_until(r"R\.", timeout=60)
    host.run("pkill -USR1 -x qvm; sleep 1")
    error = stop(host, command).error
    assert "status: 1 vCPUs, 1664 KiB of memory in 2 pieces, up " in error
    assert "status: vdev ser8250 at port 0x3f8" in error and "status: vdev virtio-entropy 'rng' on the PCI bus at 00:01.0" in error
    assert "vdev mc146818" not in error


def test_a_vm_becomes_another_user(host):
    """Threads, groups, run directory; what was opened before stays open. Another name than root's cannot be taken back."""
    host.run("mkdir -p /tmp/t/dumps && chown 65534:0 /tmp/t/dumps && chmod 700 /tmp/t/dumps; touch /tmp/t/out; chmod 600 /tmp/t/out")
    host.board.push(DOTS, "/tmp/guest.bin")
    command = host.start("system other\nuser nobody\ndump /tmp/t/dumps\ncpu sched 20\n" + RAW + "vdev ser8250 hostdev >/tmp/t/out\n")
    wait_for(host, "grep -q R.. /tmp/t/out")
    status = host.run("cat /proc/$(pgrep -x qvm)/task/*/status").text
    assert {line.split()[1] for line in status.splitlines() if line.startswith("Uid:")} == {"65534"}
    assert {tuple(line.split()[1:]) for line in status.splitlines() if line.startswith("Gid:")} == {("65534",) * 4}
    assert {line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")} == {"0" * 16}
    assert {line.strip() for line in status.splitlines() if line.startswith("Groups:")} == {"Groups:\t65534"}
    # What takes a right was done before: sched 20 is nice -10.
    assert "vcpu 0:-10" in host.run("for t in /proc/$(pgrep -x qvm)/task/*; do echo \"$(cat $t/comm):"
                                    "$(sed 's/.*) //' $t/stat | cut -d' ' -f17)\"; done").text
    host.run("pkill -USR2 -x qvm")
    wait_for(host, "ls /tmp/t/dumps/other-*.gcore 2> /dev/null")
    assert host.run("stat -c %u /tmp/t/dumps/*").text.strip() == "65534"
    stop(host, command)
    assert host.run("ls /run/qvm/other").text == ""
    # The next start of that name works.
    command = start_dots(host, "system other\n")
    stop(host, command)


def test_only_root_can_become_another_user(host):
    host.board.push(DOTS, "/tmp/guest.bin")
    host.prepare("user root\n" + RAW)
    result = host.board.run("chmod 666 /dev/kvm; setpriv --reuid 65534 --regid 65534 --clear-groups " +
                            host.command().replace("exec ", ""), check=False)
    host.run("chmod 600 /dev/kvm")
    assert result.status == 64
    assert "vm.qvmconf:1:6: error: the VM cannot become user 'root': only root can do that" in result.error, result.error


def test_threads_are_scheduled_as_the_file_says(host):
    command = start_dots(host, "cpu sched 15 runmask 1 cpu sched 3r runmask 0,1 cpu\n")
    shown = host.run("for t in /proc/$(pgrep -x qvm)/task/*; do echo \"$(cat $t/comm):$(sed 's/.*) //' $t/stat | cut -d' ' -f17,38,39):"
                     "$(sed -n 's/^Cpus_allowed_list:\\t//p' $t/status)\"; done").text
    rows = {line.split(":")[0]: line.split(":")[1:] for line in shown.splitlines()}
    # nice; real-time priority, policy; CPUs
    assert rows["vcpu 0"] == ["-5 0 0", "1"]
    assert rows["vcpu 1"][0].split()[1:] == ["3", "2"] and rows["vcpu 1"][1] == "0-1"
    assert rows["vcpu 2"] == ["0 0 0", "0-1"]
    stop(host, command)


def test_a_priority_or_cpu_that_is_not_there_is_refused(host):
    host.board.push(DOTS, "/tmp/guest.bin")
    result = host.qvm("cpu runmask 700\n" + RAW, check=False)
    assert result.status == 64 and "vm.qvmconf:1:13: error: none of these CPUs is there" in result.error
    host.prepare("cpu sched 5f\n" + RAW)
    result = host.board.run("setpriv --reuid 65534 --regid 65534 --clear-groups " + host.command().replace("exec ", ""), check=False)
    assert result.status == 64 and "vm.qvmconf:1:5: error: no right to the real-time priority 5f" in result.error, result.error


def test_a_stock_guest_has_the_users_acpi_table(host, tmp_path):
    (tmp_path / "t.dsl").write_text('DefinitionBlock ("", "SSDT", 2, "USERS", "OWNTABLE", 7) { Name (\\_SB.OWN, "here it is") }\n')
    subprocess.run(["iasl", "-p", tmp_path / "t", tmp_path / "t.dsl"], capture_output=True, check=True)
    table = (tmp_path / "t.aml").read_bytes()
    host.board.push(table, "/tmp/t.aml")
    text = host.linux("echo sum=$(md5sum < /sys/firmware/acpi/tables/SSDT); "
                      "echo bad=$(dmesg | grep -cE 'ACPI (BIOS )?(Error|Warning)')", extra="acpi load /tmp/t.aml\n")
    assert marked(text, "sum").split()[0] == hashlib.md5(table).hexdigest()
    assert marked(text, "bad") == "0"


def test_unsupported_register_rules(host):
    """A read of a model specific register that nobody has: an exception by default, all zero, or the end of the VM."""
    code = (b"\xc7\x06\x34\x00\x21\x00\xc7\x06\x36\x00\xc0\x07"  # the vector of exception 13: 0x7c0:0x21
            b"\x66\xb9\x45\x23\x01\x00\x0f\x32\x04N\xba\xf8\x03\xee"  # rdmsr 0x12345, AL + "N" to COM1
            b"\xba\x03\x06\xb0\x01\xee\xf4"
            b"\xba\xf8\x03\xb0G\xee\xba\x03\x06\xb0\x01\xee\xf4")
    host.board.push(code, "/tmp/guest.bin")
    base = RAW + "vdev ser8250 hostdev >-\n"
    assert host.qvm(base).text == "G"
    assert host.qvm(base + "unsupported register fail\n").text == "G"
    assert host.qvm(base + "unsupported register ignore\n").text == "N"
    aborted = host.qvm(base + "unsupported register abort\n", check=False)
    assert aborted.status == 5 and "read of register 0x12345" in aborted.error and aborted.text == ""


def test_the_guests_counter_has_its_offset(host):
    """The upper half of the time stamp counter, on COM1."""
    host.board.push(b"\x0f\x31\x66\x89\xd3\xba\xf8\x03\xb9\x04\x00\x88\xd8\xee\x66\xc1\xeb\x08\xe2\xf7"
                    b"\xba\x03\x06\xb0\x01\xee\xf4", "/tmp/guest.bin")

    def counter(words):
        host.qvm(words + RAW + "vdev ser8250 hostdev >/tmp/t/out\n", before=": > /tmp/t/out")
        return struct.unpack("<I", host.board.fetch("/tmp/t/out"))[0]

    assert counter("") < 0x100
    assert counter("set counter-offset 0xffffffffffffffff\n") < 0x100
    assert (counter("set counter-offset 0x4142434400000000\n") - 0x41424344) % (1 << 32) < 0x10000
    assert counter("set counter-offset 0\n") < 0x10000


def test_a_halt_that_does_not_exit(host):
    """KVM's own count of halts that left the guest while it sleeps."""
    def halts(words):
        command = host.start(*guests.linux("echo ready; sleep 8", extra=words))
        command.read_until("ready", timeout=120)
        count = "cat /sys/kernel/debug/kvm/$(pgrep -x qvm)-*/halt_exits"
        seen = host.run(f"mount -t debugfs none /sys/kernel/debug 2> /dev/null; a=$({count}); sleep 4; b=$({count}); echo $((b - a))").text
        assert command.wait(timeout=60).status == 0
        return int(seen)

    assert halts("set exit-on-halt off\n") == 0
    assert halts("") > 20


def test_debug_shows_more(host):
    """`debug` adds that kind of message; what the VM does otherwise is the same."""
    assert host.qvm("ram 1m\ndebug\nload 0x7c00,/payload/hi.bin\nvdev ser8250 hostdev >-\n").text == "Hi\n"


def test_files_of_other_people(host):
    """Read with success, or with what is not supported, line by line (tests/foreign)."""
    foreign.check("x86_64", host.board, "/payload/build-asan/qvm")
