# SPDX-License-Identifier: Apache-2.0
"""qvm without KVM: mistakes in files, dryrun, the ACPI tables. No board is needed."""
import json
import os
import pathlib
import re
import signal
import struct
import subprocess

import jsonschema
import pytest

import guests

TOP = pathlib.Path(__file__).resolve().parents[2]
QVM = TOP / "build-asan/qvm"


def qvm(tmp_path, text, *words, options=()):
    path = tmp_path / "vm.qvmconf"
    path.write_text(text)
    return subprocess.run([QVM, *options, f"@{path.name}", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)


def test_all_mistakes_of_all_files_in_one_run(tmp_path):
    (tmp_path / "other.qvmconf").write_text("vdev virtio-blk hostdevv /dev/null\ncpu sched x\n")
    result = qvm(tmp_path, "ram 1x\nram 256m\nvdev virtio-blok\nload nothing-there\n", "@other.qvmconf", "dryrun")
    assert result.returncode == 65
    for part in ("vm.qvmconf:1:5: error:", "vm.qvmconf:3:6: error:", "did you mean 'virtio-blk'?", "~~~",
                 "vm.qvmconf:4:6: error:", "other.qvmconf:1:17: error:", "did you mean 'hostdev'?", "other.qvmconf:2:11: error:"):
        assert part in result.stderr, result.stderr


@pytest.mark.parametrize("words", [("dryrun",), ()])
@pytest.mark.parametrize("load", ["load", "initrd load", "data load 0x100000,"])
def test_what_is_loaded_is_a_file(tmp_path, load, words):
    """A pipe that nobody writes keeps nobody waiting."""
    os.mkfifo(tmp_path / "pipe")
    result = qvm(tmp_path, f"ram 16m\n{load + ' ' if load[-1] != ',' else load}pipe\n", *words)
    assert result.returncode == 65 and "cannot load 'pipe': it is not a regular file" in result.stderr, result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_end_what_waits_for_its_configuration(tmp_path, number):
    os.mkfifo(tmp_path / "pipe")
    # The tests may have been started with some of them ignored, and those stay so.
    with subprocess.Popen(["env", "--default-signal", QVM, "@pipe", "dryrun"], cwd=tmp_path) as process:
        try:
            with open(tmp_path / "pipe", "w", encoding="ascii"):
                process.send_signal(number)
                assert process.wait(timeout=30) == -number
        finally:
            process.kill()


@pytest.mark.parametrize("text,said", [
    ("initrd pass loc 0x30000000,0x1000\n", "what is passed cannot be 'initrd'"),
    ('vdev ser8250 hostdev ">|cat"\n', "output to a command is not built yet"),
    ("vdev virtio-entropy legacy\n", "the VirtIO 0.9.5 interface is not built"),
])
def test_known_words_that_are_not_built_say_so(tmp_path, text, said):
    result = qvm(tmp_path, "ram 256m\n" + text, "dryrun")
    assert result.returncode == 65 and said in result.stderr, result.stderr


@pytest.mark.parametrize("text", ["load /nonexistent\n", "load .\n", "acpi load x\n", "vdev virtio-blk hostdev /nonexistent\n",
                                  "vdev ser8250 hostdev /nonexistent\n", "dump /nonexistent\n", "user no-such-user\n"])
def test_what_the_host_lacks_is_a_wrong_configuration(tmp_path, text):
    """qvm(1), EXIT STATUS: the same on a dryrun."""
    (tmp_path / "x").write_text("no table")
    assert {qvm(tmp_path, "ram 1m\n" + text, *words).returncode for words in ((), ("dryrun",))} == {65}


@pytest.mark.parametrize("text,dryrun", [("load empty\n", 0), ("load 40000000,x\n", 0), ("", 0), ("load x\ncpu runmask 1000\n", 0),
                                         ("set acpi-dump-dir /nonexistent\nload x\n", 64)])
def test_what_only_the_start_finds_is_a_failed_start(tmp_path, text, dryrun):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "x").write_text("no program")
    assert qvm(tmp_path, "ram 1m\n" + text, "dryrun").returncode == dryrun
    assert qvm(tmp_path, "ram 1m\n" + text).returncode == 64


@pytest.mark.parametrize("text,said", [
    ("pass loc pci:0:31.7\n", "the host has no PCI device 0000:00:1f.7"),
    ("pass loc pci:0xfffe/0xfffe\n", "the host has 0 PCI devices fffe:fffe"),
    ("pass loc pci:0xfffe/0xfffe shared\n", "a PCI device does DMA and is never shared between VMs"),
    ("pass loc 0x30000000,0x1000,rw=0x100000\n", "is memory of the host ('System RAM')"),
    ("pass loc 0x30000000,0x1000,rwd=0xfed40000\n", "does DMA, and no IOMMU that qvm knows confines what is not on PCI"),
    ("pass loc 0x30000000,0x1000,rw=0xfed40000 shared\n", "may not be shared: the file does not say that it does no DMA"),
    ("pass loc 0x1000,0x1000,rwn=0xfed40000\n", "overlaps ram"),
    ("pass loc 0x30000000,8,rwn=0xfed40000 loc 0x30000004,4,rwn=0xfed41000\n", "overlaps pass mem"),
    ("pass loc io:20,2\n", "is in use by the host: 'pic1' has it"),
    ("pass\n", "'pass' without a place"),
    ("pass loc 0x3000000g\n", "pass mem 0xc0000000000000-0xc0000000000fff ends above 64 TiB of guest-physical memory"),
    (guests.PLATFORM + "pass loc io:c00 intr myioapic:8\n", "interrupt myioapic:8 of pass intr myioapic:8 is already that of vdev mc146818"),
    (guests.PLATFORM + "pass loc io:c00 intr myioapic:5=77777\n", "no UIO device of the host has interrupt 77777"),
    (guests.PLATFORM + "pass loc io:c00 intr myioapic:24\n", "vdev ioapic 'myioapic' has no line 24"),
])
def test_what_cannot_be_passed_is_refused(tmp_path, text, said):
    """Before anything is opened: what a file alone, and the host's own lists, tell."""
    result = qvm(tmp_path, "ram 256m\n" + text, "dryrun")
    assert result.returncode == 65
    assert said in result.stderr, result.stderr


def test_a_passed_place_that_is_wrong_is_one_mistake(tmp_path):
    result = qvm(tmp_path, "ram 256m\npass loc 0x3000000y\n", "dryrun")
    assert result.returncode == 65 and len(re.findall("error: ", result.stderr)) == 1, result.stderr


def test_more_ports_than_a_table_tells_of_are_passed(tmp_path):
    """The guest is told nothing of them; that leaves nothing open either (the sanitizers' build would say so)."""
    result = qvm(tmp_path, "ram 256m\npass loc io:7000,0x100\n", "dryrun")
    assert result.returncode == 0 and "pass io 0x7000-0x70ff" in result.stdout and "ACPI devices" not in result.stdout, result.stderr


MMIO = guests.PLATFORM + "vdev virtio-entropy loc 0x1c0d0000 intr myioapic:16 name a\n"


@pytest.mark.parametrize("text,said", [
    ("vdev virtio-entropy loc 0x1c0d0000\n", "vdev virtio-entropy needs an interrupt"),
    (MMIO.replace("0x1c0d0000", "0x1c0d0004"), "vdev virtio-entropy 'a' lies at 0x1c0d0004, which is no multiple of 8"),
    (MMIO.replace("0x1c0d0000", "io:0x300"), "vdev virtio-entropy 'a' cannot lie in that kind of place"),
    (MMIO.replace("myioapic:16", "myioapic:24"), "vdev ioapic 'myioapic' has no line 24"),
])
def test_a_virtio_vdev_in_memory_has_a_place_and_a_line(tmp_path, text, said):
    result = qvm(tmp_path, "ram 1m\n" + text, "dryrun")
    assert result.returncode == 65
    assert said in result.stderr, result.stderr


def test_a_virtio_place_without_a_prefix_is_on_pci(tmp_path):
    """And an address is one in memory."""
    result = qvm(tmp_path, "ram 1m\nvdev virtio-entropy loc 0:3\nvdev shmem loc 0:4.0\n" + MMIO.replace("0x1c0d0000", "1c0d0000"), "dryrun")
    assert result.returncode == 0, result.stderr
    for part in ("00:03.0  1af4:1044", "00:04.0  ", "00001c0d0000-00001c0d01ff  vdev   vdev virtio-entropy 'a'"):
        assert part in result.stdout, result.stdout


def test_a_pc_has_no_device_tree(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    (tmp_path / "tree").write_bytes(b"\xd0\x0d\xfe\xed")
    result = qvm(tmp_path, "ram 256m\nset fdt-dump-file y\nfdt load x\nload tree\n", "dryrun")
    assert result.returncode == 65
    for place in ("vm.qvmconf:3:5", "vm.qvmconf:4:1"):
        assert f"{place}: error: a guest of x86-64 has ACPI tables and no device tree" in result.stderr
    assert "vm.qvmconf:2:5: warning: 'fdt-dump-file' has no effect" in result.stderr


@pytest.mark.parametrize("text,owners", [
    ("ram 0,2m\nram 1m,1m\n", ["ram overlaps ram"]),
    ("ram 0,3600m\n", ["ram overlaps the PCI configuration space"]),
    ("ram 1m\nvdev ser8250\nvdev ser8250 loc 0x3fc name b\n", ["vdev ser8250 'b' overlaps vdev ser8250", "vdev ser8250 is here"]),
    ("ram 1m\n" + guests.PLATFORM + "vdev ser8250 intr myioapic:4\nvdev ser8250 loc 0x2f8 intr myioapic:4 name b\n",
     ["interrupt myioapic:4 of vdev ser8250 'b' is already that of vdev ser8250"]),
    ("ram 1m\nvdev virtio-entropy loc pci:0:3\nvdev virtio-entropy loc pci:0:3 name b\n", ["vdev virtio-entropy 'b': that PCI place is taken by vdev virtio-entropy", "vm.qvmconf:2:25: note: vdev virtio-entropy is here"]),
    ("ram 1m\nvdev virtio-entropy loc pci:0:0\n", ["that PCI place is taken by the PCI host bridge"]),
    ("ram 1m\nreserve loc 0xe8000000,0x10000000\nvdev virtio-entropy\n",
     ["vm.qvmconf:3:1: error: the PCI memory window is full: no place for BAR 0 of vdev virtio-entropy"]),
    ("ram 1m\nvdev ioapic vdev 8259 loc 0x20 vdev 8259 loc 0xa0\nvdev timer8254\nvdev ser8250 intr ioapic:0\n",
     ["vm.qvmconf:3:1: error: interrupt ioapic:0 of vdev timer8254 is already that of vdev ser8250", "vdev ser8250 is here"]),
    ("ram 1m\n" + MMIO + "vdev virtio-entropy loc 0x1c0d0100 intr myioapic:17 name b\n",
     ["vdev virtio-entropy 'b' overlaps vdev virtio-entropy 'a': both have the guest-physical addresses 0x1c0d0100 to 0x1c0d01ff",
      "vdev virtio-entropy 'a' is here"]),
    ("ram 1m\n" + MMIO + "vdev virtio-net loc 0x1c0e0000 intr myioapic:16 name b tapdev t\n",
     ["interrupt myioapic:16 of vdev virtio-net 'b' is already that of vdev virtio-entropy 'a'", "vdev virtio-entropy 'a' is here"]),
    ("ram 1m\n" + MMIO + "vdev virtio-console loc 0xfec00000 intr myioapic:17\n", ["vdev virtio-console overlaps vdev ioapic 'myioapic'"]),
    ("ram 512m\n" + MMIO, ["vdev virtio-entropy 'a' overlaps ram"]),
    ("ram 1m\n" + MMIO.replace("0x1c0d0000", "0xe8000000"), ["vdev virtio-entropy 'a' overlaps the PCI memory window"]),
    ("ram 1m\nvdev virtio-entropy loc pci:0:3.1\nvdev virtio-entropy loc pci:0:4.0 name b\n",
     ["vdev virtio-entropy is function 1 of PCI device 0:3, which has no function 0", "`vdev pci-dummy` can hold it"]),
    ("ram 1m\nvdev ser8250 loc 0x600\n", ["vdev ser8250 overlaps the ACPI platform"]),
    ("ram 1m\nvdev ser8250 loc 0xfffc\n", ["vdev ser8250 ends outside of the ports"]),
    ("ram 1m\nvdev virtio-entropy loc 0x400000000000\n", ["vdev virtio-entropy ends above 64 TiB of guest-physical memory"]),
])
def test_overlaps_and_double_use_name_both_owners(tmp_path, text, owners):
    result = qvm(tmp_path, text, "dryrun")
    assert result.returncode == 65
    for owner in owners:
        assert owner in result.stderr, result.stderr


OFF = guests.PLATFORM.replace("name myioapic", "name myioapic accel off")


@pytest.mark.parametrize("text,machine,why", [
    ("", "local APICs only", "there is no ioapic, 8259 or timer8254"),
    (guests.PLATFORM, "kernel", "it is what the file asks for"),
    (OFF, "split", "vdev ioapic 'myioapic' has `accel off`"),
    (guests.PLATFORM.replace("vdev 8259 loc 0xa0", "vdev 8259 loc 0xa0 accel off"), "split", "vdev 8259 has `accel off`"),
    (guests.PLATFORM.replace("name myioapic", "name myioapic loc 0xf8000000"), "split", "lies at 0xf8000000, and KVM's at 0xfec00000"),
    (guests.PLATFORM.replace("name myioapic", "name myioapic pins 25"), "split", "has 25 pins, and KVM's has 24"),
    (guests.PLATFORM + "vdev ioapic loc 0xf8000000 name more\n", "split", "vdev ioapic 'more' is a second one"),
    ("vdev ioapic\n", "split", "there is no vdev 8259 at port 0x20"),
    ("vdev timer8254\n", "split", "there is no vdev ioapic"),
    (guests.PLATFORM.replace("myioapic:0", "myioapic:3"), "split", "has the interrupt line 3, and KVM's has line 0"),
])
def test_the_interrupt_machine_and_why(tmp_path, text, machine, why):
    result = qvm(tmp_path, "ram 256m\n" + text, "dryrun")
    assert result.returncode == 0, result.stderr
    said = next(line for line in result.stdout.splitlines() if line.startswith("Interrupt machine: "))
    assert said.startswith(f"Interrupt machine: {machine}") and why in said


@pytest.mark.parametrize("text,why", [
    ("vdev ioapic accel on\n", "vdev ioapic cannot be KVM's here: KVM's chips come together, and there is no vdev 8259 at port 0x20"),
    (OFF.replace("vdev 8259 loc 0x20", "vdev 8259 loc 0x20 accel on"), "vdev 8259 cannot be KVM's here: vdev ioapic 'myioapic' has `accel off`"),
    ("vdev mc146818 accel on\n", "KVM has no model of vdev mc146818"),
])
def test_accel_on_is_refused_with_the_reason(tmp_path, text, why):
    result = qvm(tmp_path, "ram 256m\n" + text, "dryrun")
    assert result.returncode == 65
    assert why in result.stderr, result.stderr


def test_dryrun_prints_the_machine(tmp_path):
    (tmp_path / "k").write_bytes(b"x")
    result = qvm(tmp_path, "system shown\nram 256m\ncpu cpu\nload k\n" + guests.PLATFORM +
                 "vdev ser8250 intr myioapic:4\nvdev virtio-entropy\n", "dryrun")
    assert result.returncode == 0, result.stderr
    for part in ("VM shown, 2 vCPUs", "Interrupt machine: kernel", "000000000000-00000fffffff  ram", "03f8-03ff  vdev   vdev ser8250",
                 "myioapic:4  vdev ser8250", "00:00.0  1c05:0002  class 0600", "00:01.0  1af4:1044", "PNP0501, unit 0"):
        assert part in result.stdout, result.stdout
    assert "Exiting: dryrun completed" in result.stderr


def test_the_manual_has_the_fixed_places_and_who_lies_at_a_port(tmp_path):
    page = (TOP / "docs/man/qvmconf.5.scd").read_text()
    table = page.partition("\n# ADDRESSES\n")[2].partition("\nA guest with more")[0]
    told = {(bool(port), int(first, 16), int(last or first, 16))
            for port, first, last in re.findall(r"^\|  (ports? )?0x([0-9a-f]+)(?:-0x([0-9a-f]+))?$", table, re.M)}
    result = qvm(tmp_path, "ram 1m\n", "dryrun")
    assert told == {(len(first) == 4, int(first, 16), int(last, 16))
                    for first, last in re.findall(r"^  ([0-9a-f]+)-([0-9a-f]+)  fixed ", result.stdout, re.M)}
    at_ports = {path.parent.name for path in (TOP / "vdevs").glob("*/*.c")
                if re.search(r"factory_flags = [^,]*VFF_VDEV_X86_IO", path.read_text())}
    places = page.partition("Without a prefix it is what the vdev usually has: a port for")[2].partition("else a memory address")[0]
    assert set(re.findall(r"\*(\S+?)\*", places)) == at_ports


def test_acpi_tables_have_nothing_to_complain_of(tmp_path):
    """iasl disassembles and recompiles what the guest gets, without a warning."""
    result = qvm(tmp_path, "ram 256m\ncpu cpu cpu cpu\nset acpi-dump-dir .\n" + guests.PLATFORM + "vdev ser8250 intr myioapic:4\n"
                 "vdev virtio-entropy loc 0x1c0d0000 intr myioapic:16\n", "dryrun")
    assert result.returncode == 0, result.stderr
    assert {p.name for p in tmp_path.glob("*.dat")} == {"FACP.dat", "DSDT.dat", "APIC.dat", "MCFG.dat", "XSDT.dat", "RSDT.dat"}
    for table in sorted(tmp_path.glob("*.dat")):
        for command in (["iasl", "-d", table.name], ["iasl", table.stem + ".dsl"]):
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
            said = done.stdout + done.stderr
            assert "Warning " not in said and "Error " not in said, said
            if command[1] != "-d":
                assert "0 Errors, 0 Warnings, 0 Remarks" in said, said


def test_acpi_tables_lie_beside_what_has_an_address(tmp_path):
    """A guest too small for the place where firmware has them, and a file where they would lie."""
    (tmp_path / "small").write_bytes(bytes(0x4000))
    result = qvm(tmp_path, "ram 512k\nset acpi-dump-dir .\nload 70000,small\n", "dryrun")
    assert result.returncode == 0, result.stderr
    root = (tmp_path / "RSDT.dat").read_bytes()
    tables = struct.unpack_from(f"<{(len(root) - 36) // 4}I", root, 36)
    assert tables and all(0x1000 <= at < 0x70000 or 0x74000 <= at < 0x80000 for at in tables), [hex(at) for at in tables]


def test_virtio_devices_in_memory_are_in_the_acpi_tables(tmp_path):
    """One LNRO0005 each, with its place and its line, level-triggered; above 4 GiB too. shmem has no id there."""
    text = ("ram 256m\nset acpi-dump-dir .\n" + guests.PLATFORM + "vdev ioapic name gic loc 0xfec10000 pins 64\n"
            "vdev virtio-entropy loc 0x1c0d0000 intr gic:41\nvdev virtio-entropy loc 0x100000000 intr myioapic:5\n"
            "vdev shmem loc 0x1c050000 intr gic:38\nvdev virtio-entropy\n")
    result = qvm(tmp_path, text, "dryrun")
    assert result.returncode == 0, result.stderr
    subprocess.run(["iasl", "-d", "DSDT.dat"], cwd=tmp_path, check=True, capture_output=True)
    devices = (tmp_path / "DSDT.dsl").read_text().split("Device (")
    found = [re.sub(r"\s+", " ", re.sub(r"//.*", "", d)) for d in devices if "LNRO0005" in d]
    assert len(found) == 2 and "0x1C050000" not in "".join(devices)
    for device, parts in zip(found, (("Name (_UID, Zero)", "Memory32Fixed (ReadWrite, 0x1C0D0000,", "0x00000041"),
                                     ("Name (_UID, One)", "QWordMemory", "0x0000000100000000", "0x00000005"))):
        assert "Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive" in device
        for part in parts:
            assert part in device, device


def acpi_table(signature=b"SSDT", body=b"\0" * 8, length=None, checksum=None):
    data = bytearray(signature + struct.pack("<IBB6s8sI4sI", length or 36 + len(body), 2, 0, b"USERS ", b"TABLE   ", 1, b"USER", 1) + body)
    data[9] = -sum(data) % 256 if checksum is None else checksum
    return bytes(data)


@pytest.mark.parametrize("table,why", [
    (b"SSDT", "it is shorter than the header"),
    (acpi_table(length=45), "its header has another length than the file"),
    (acpi_table(checksum=1), "its checksum is wrong"),
    (acpi_table(b"FACP"), "the VM has its own table of that kind"),
    (acpi_table(b"ss t"), "it does not start with a signature"),
    (bytes(2 << 20), "it is larger than 1 MiB"),
    (None, "No such file"),
], ids=["short", "length", "checksum", "ours", "signature", "large", "missing"])
def test_what_is_no_acpi_table_is_refused_at_its_place(tmp_path, table, why):
    if table is not None:
        (tmp_path / "t.aml").write_bytes(table)
    result = qvm(tmp_path, "ram 256m\nacpi load t.aml\n", "dryrun")
    assert result.returncode == 65
    assert "vm.qvmconf:2:11: error: 't.aml' cannot be an ACPI table of the guest: " + why in result.stderr, result.stderr


def test_acpi_tables_of_the_user_are_beside_ours(tmp_path):
    """Two of a kind, and one that does not fit where firmware has its tables; the root table has them all."""
    tables = [acpi_table(body=b"\1" * 5), acpi_table(body=b"\2" * 200000), acpi_table(b"SLIT", b"\0" * 9)]
    for i, table in enumerate(tables):
        (tmp_path / f"t{i}").write_bytes(table)
    result = qvm(tmp_path, "ram 256m\nset acpi-dump-dir .\nacpi load t0\nacpi load t1\nacpi load t2\n" + guests.PLATFORM, "dryrun")
    assert result.returncode == 0, result.stderr
    for name, table in zip(("SSDT", "SSDT-1", "SLIT"), tables):
        assert (tmp_path / f"{name}.dat").read_bytes() == table
    assert len((tmp_path / "XSDT.dat").read_bytes()) == 36 + 8 * 6 and len((tmp_path / "RSDT.dat").read_bytes()) == 36 + 4 * 6


def document(result, name):
    """The one line on standard output, which must be as the shipped schema says, and may have nothing else."""
    schema = json.loads((TOP / f"docs/schema/{name}.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout)
    jsonschema.validate(found, schema)
    return found


def test_schemas_have_no_open_ends():
    """Each object says which members there are: so a member that is new or gone is seen."""
    def closed(node):
        if isinstance(node, dict):
            if node.get("type") == "object":
                assert node["additionalProperties"] is False
                assert set(node["required"]) <= set(node["properties"])
            for value in node.values():
                closed(value)
        elif isinstance(node, list):
            for value in node:
                closed(value)

    for path in (TOP / "docs/schema").glob("*.json"):
        closed(json.loads(path.read_text()))


def test_mistakes_as_json(tmp_path):
    text = "ram 1x\nram 256m\nvdev virtio-blok\nvdev ser8250\nvdev ser8250 loc 0x3fc name b\nset slog-buffer 1\n"
    result = qvm(tmp_path, text, "cpu", "sched", "x", options=["--format=json"])
    assert result.returncode == 65 and "error:" not in result.stderr
    found = document(result, "qvm-diagnostics")["diagnostics"]
    assert [(d["severity"], d["place"]["file"], d["place"]["line"], d["place"]["column"], d["place"]["length"]) for d in found] == [
        ("error", "command line", 4, 1, 1), ("error", "vm.qvmconf", 1, 5, 2), ("error", "vm.qvmconf", 3, 6, 11),
        ("error", "vm.qvmconf", 5, 18, 5), ("warning", "vm.qvmconf", 6, 5, 11)]
    assert found[0]["expected"] == "a number from 1 to 255" and found[0]["message"] == "'x' is not a number"
    assert found[2]["suggestion"] == "virtio-blk" and found[2]["notes"] == []
    assert found[3]["notes"] == [{"message": "vdev ser8250 is here", "place": {"file": "vm.qvmconf", "line": 4, "column": 1, "length": 4}}]


def test_many_mistakes_as_json(tmp_path):
    found = document(qvm(tmp_path, "ram 1x\n" * 130, options=["--format", "json"]), "qvm-diagnostics")
    # All of the vdevs and the missing memory would come behind them.
    assert len(found["diagnostics"]) == 100 and found["errors_not_shown"] >= 30


def test_what_is_no_text_as_json(tmp_path):
    path = tmp_path / "vm.qvmconf"
    path.write_bytes(b'ram 1m\nload /no/\xff\xfe\x1b[31m\ncmdline "\xe2\x80\xae"\n')
    result = subprocess.run([QVM, "--format=json", f"@{path.name}", "dryrun"], cwd=tmp_path, capture_output=True, text=True, check=False)
    found = document(result, "qvm-diagnostics")["diagnostics"]
    assert "\\xff\\xfe\\x1b[31m" in found[0]["message"]


def test_dryrun_as_json(tmp_path):
    (tmp_path / "k").write_bytes(b"x")
    text = ("system shown\nram 0,640k\nram 1m,255m\nrom 0xfffc0000,128k\ncpu sched 12 runmask 0 cpu sched 3r cpu\nload 1000,k\ncmdline \"a  b\"\n" +
            guests.PLATFORM + "vdev ser8250 intr myioapic:4\nvdev virtio-entropy\nset slog-buffer 1\n")
    result = qvm(tmp_path, text, "dryrun", options=["--format=json"])
    assert result.returncode == 0, result.stderr
    found = document(result, "qvm-dryrun")
    machine = found["machine"]
    assert [d["severity"] for d in found["diagnostics"]] == ["warning"]
    assert machine["name"] == "shown" and machine["interrupt_machine"] == "kernel" and machine["cmdline"] == "a  b"
    assert machine["vcpus"] == [{"sched": {"priority": 12, "policy": "ordinary"}, "host_cpus": [0]},
                                {"sched": {"priority": 3, "policy": "round-robin"}}, {}]
    assert machine["memory"][0] == {"kind": "ram", "first": 0, "last": 0x9ffff, "owner": "ram",
                                    "place": {"file": "vm.qvmconf", "line": 2, "column": 1, "length": 3}}
    assert {"rom", "ram", "fixed", "vdev"} == {r["kind"] for r in machine["memory"]}
    assert {"pic": "myioapic", "line": 4, "owner": "vdev ser8250"}.items() <= next(
        i for i in machine["interrupts"] if i["line"] == 4).items()
    assert [(f["device"], f["vendor_id"], f["device_id"], f["class"]) for f in machine["pci"]] == [
        (0, 0x1c05, 2, 0x600), (1, 0x1af4, 0x1044, 0x00ff)]
    assert machine["pci"][1]["bars"][0]["address"] >= 0xe8000000
    assert machine["loads"] == [{"type": "auto", "file": "k", "address": 0x1000,
                                 "place": {"file": "vm.qvmconf", "line": 6, "column": 11, "length": 1}}]
    assert {"hid": "PNP0501", "uid": 0, "resources": 2} in machine["acpi_devices"] and machine["device_tree"] is None


def test_formats():
    assert subprocess.run([QVM, "--format=xml", "cpu"], capture_output=True, check=False).returncode == 2
    result = subprocess.run([QVM, "--format=text", "ram", "1x"], capture_output=True, text=True, check=False)
    assert result.returncode == 65 and result.stdout == "" and "command line:2:1: error:" in result.stderr


def test_legacy_free_is_told_to_the_guest(tmp_path):
    """The boot architecture flags of the FADT: devices, keyboard controller, no VGA, no CMOS clock."""
    def flags(more):
        result = qvm(tmp_path, "ram 256m\nset acpi-dump-dir .\n" + more + guests.PLATFORM + "vdev ser8250 intr myioapic:4\n", "dryrun")
        assert result.returncode == 0, result.stderr
        return struct.unpack_from("<H", (tmp_path / "FACP.dat").read_bytes(), 109)[0]

    assert flags("") == flags("set legacy-free off\n") == 0x5
    assert flags("set legacy-free on\n") == 0x24


def test_set_query_lists_type_context_and_value(tmp_path):
    result = qvm(tmp_path, "set debug off\nset acpi-dump-dir /somewhere\n", "set", "?")
    assert result.returncode == 0, result.stderr
    rows = {line.split()[0]: line.split()[1:4] for line in result.stdout.splitlines()}
    assert rows["debug"] == ["on|off", "vdev", "off"]
    assert rows["acpi-dump-dir"] == ["[<|>]PATH", "global", "/somewhere"]
    assert rows["exit-on-halt"] == ["on|off", "global", "on"]


def test_set_query_hides_no_mistake(tmp_path):
    result = subprocess.run([QVM, "@missing", "foo", "set", "?"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 65 and result.stdout.startswith("acpi-dump-dir ")
    assert "missing" in result.stderr and "unknown word 'foo'" in result.stderr, result.stderr
    result = subprocess.run([QVM, "--format=json", "foo", "set", "?"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 65 and len(json.loads(result.stderr)["diagnostics"]) == 1, result.stderr


@pytest.mark.parametrize("words", [["ram", "1m", "dryrun"], ["--format=json", "ram", "1m", "dryrun"], ["set", "?"]])
def test_what_cannot_be_printed_is_no_success(words):
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run([QVM, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 64 and "standard output takes not all of it" in result.stderr, result.stderr


@pytest.mark.parametrize("text,says", [
    ("user no-such-user\n", "no user is called 'no-such-user'"),
    ("user 4000000\n", "user 4000000 has no name, so it has no group"),
    ("user nobody:no-such-group\n", "no group is called 'no-such-group'"),
    ("dump /no/such/folder\n", "dumps cannot go to '/no/such/folder': No such file or directory"),
    ("dump /dev/null\n", "it is no directory"),
    ("reserve loc pci:1:0\n", "there is PCI bus 0 only"),
    ("safety\nvdev virtio-entropy\n", "vdev virtio-entropy is no safety variant"),
])
def test_what_only_the_host_can_tell_is_said_at_its_place(tmp_path, text, says):
    result = qvm(tmp_path, "ram 256m\n" + text, "dryrun")
    assert result.returncode == 65
    assert says in result.stderr and "vm.qvmconf:" in result.stderr, result.stderr


@pytest.mark.parametrize("words,errors", [
    (["vdev", "virtio-blk"], ["vdev virtio-blk is without 'hostdev'"]),
    (["vdev", "virtio-blk", "hostdev", "$env{NOPE}"], ["environment variable 'NOPE' is not set"]),
    (["vdev", "virtio-blk", "hostdev", ">f"], ["a disk cannot be write-only"]),
    (["vdev", "virtio-blk", "hostdevv", "f"], ["unknown option 'hostdevv'"]),
    (["vdev", "virtio-input"], ["vdev virtio-input is without 'hostdev'"]),
    (["vdev", "virtio-net", "tapdev", "TOO-LONG-NAME-FOR-IT"], ["an interface name has 1 to 15 characters"]),
    (["vdev", "pci-dummy", "vendor", "0x12345"], ["'0x12345' is out of range"]),
    (["vdev", "8259", "loc", "0x2x"], ["'0x2x' is not an address"]),
    (["vdev", "trace", "loc", "0x2x"], ["'0x2x' is not an address"]),
    (["vdev", "virtio-entropy", "loc", "0x1c0d0000", "intr", "nobody:1"], ["no interrupt controller is called 'nobody'"]),
    (["vdev", "virtio-blk", "threads", "99"], ["'99' is out of range", "vdev virtio-blk is without 'hostdev'"]),
    (["initrd", "x.img"], ["'initrd' without 'load' or 'pass'"]),
    (["vdev", "ioapic", "name", "io", "vdev", "virtio-blk", "hostdev", "/nowhere", "loc", "0x1c0d0000", "intr", "io:3"],
     ["'/nowhere' cannot be opened"]),
    (["vdev", "virtio-blk", "hostdev", "/nowhere", "queues", "99"], ["'99' is out of range", "'/nowhere' cannot be opened"]),
    (["vdev", "virtio-blk", "hostdev", "/nowhere", "loc", "0x2x"], ["'0x2x' is not an address", "'/nowhere' cannot be opened"]),
])
def test_one_mistake_is_one_error(words, errors):
    result = subprocess.run([QVM, "ram", "1m", *words, "dryrun"], capture_output=True, text=True, check=False)
    said = sorted(re.findall("error: (.*)", result.stderr))
    assert result.returncode == 65 and len(said) == len(errors), result.stderr
    assert all(error in result.stderr for error in errors), result.stderr


@pytest.mark.parametrize("words", [["ram", "12x"], ["ram"], ["@missing"]])
def test_memory_that_is_not_understood_is_no_second_mistake(words):
    result = subprocess.run([QVM, "dryrun", *words], capture_output=True, text=True, check=False)
    assert result.returncode == 65 and result.stderr.count("error: ") == 1, result.stderr


def test_one_mistake_hides_no_other(tmp_path):
    result = qvm(tmp_path, "ram 1m\nram 0,4k\nuser 4000000\n", "dryrun")
    assert result.returncode == 65
    assert "vm.qvmconf:2:1: error: ram overlaps ram" in result.stderr and "vm.qvmconf:3:6: error: user 4000000 has no name" in result.stderr


def test_reserved_places_are_left_out(tmp_path):
    text = ("ram 256m\nreserve loc pci:0:1 loc pci:0:3.1 intr 9\nreserve loc 0xe8000000,0x1000000\n" + guests.PLATFORM +
            "vdev virtio-entropy\nvdev virtio-entropy name b\nvdev virtio-entropy loc pci:0:1 name c\n")
    result = qvm(tmp_path, text, "dryrun")
    assert result.returncode == 0, result.stderr
    for part in ("00:01.0  1af4:1044", "00:02.0  1af4:1044", "00:04.0  1af4:1044", "myioapic:10  the ACPI platform", "at 0xe9000000"):
        assert part in result.stdout, result.stdout
    assert "at 0xe8" not in result.stdout


def test_a_marked_vdev_may_be_in_a_safety_vm(tmp_path):
    """A vdev from outside of the tree, built against the public headers only."""
    source = tmp_path / "sober.c"
    source.write_text("""
#include <qvm/x/conf.h>
static int control(vdev_t *vdp, unsigned ctrl, const char *arg)
{
	(void)vdp, (void)ctrl, (void)arg;
	return 0;
}
static struct vdev_factory factory = { .control = control };
static const struct qvmx_vdev_info info = { .size = sizeof(info), .flags = QVMX_VDEV_SAFETY, .summary = "does nothing" };
static void __attribute__((constructor)) sober(void)
{
	qvmx_vdev_register(&factory, &info, QVM_VDEV_ABI);
}
""")
    subprocess.run(["cc", "-shared", "-fPIC", "-I", TOP / "include", "-o", tmp_path / "vdev-sober.so", source], check=True)
    path = tmp_path / "vm.qvmconf"
    path.write_text("ram 1m\nsafety\nvdev sober\n")
    result = subprocess.run([QVM, "--vdev-dir", tmp_path, f"@{path}", "dryrun"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def build_vdev(folder, name, control, more=""):
    """A vdev with one option, `do`, whose control function goes through that code, made from the public headers alone."""
    source = folder / f"{name}.c"
    source.write_text("""
#include <errno.h>
#include <string.h>
#include <qvm/guest.h>
#include <qvm/log.h>
#include <qvm/x/conf.h>
static const char *word = "";
static int is(const char *w) { return !strcmp(w, word); }
static int control(vdev_t *vdp, vdev_ctrl_options_t ctrl, const char *arg)
{
	if (ctrl == VDEV_CTRL_FIRST_OPTIDX)
		word = arg;
%s
	return EOK;
}
static const char *const options[] = { "do", NULL };
static struct vdev_factory factory = { .control = control, .option_list = options, .factory_flags = VFF_LOC_NO %s };
static void __attribute__((constructor)) registers(void)
{
	vdev_register_factory(&factory, QVM_VDEV_ABI);
}
""" % (control, more))
    subprocess.run(["cc", "-shared", "-fPIC", "-I", TOP / "include", "-o", folder / f"vdev-{name}.so", source], check=True)


@pytest.mark.parametrize("do,status,said", [
    ("error", 64, "vm.qvmconf:2:1: error: vdev late does not start: Cannot allocate memory"),
    ("refuse", 64, "vm.qvmconf:2:1: error: vdev late: no room"),
    ("fatal", 65, "vm.qvmconf:2:1: error: vdev late: no place"),
    ("end", 40, ""),
    ("end-late", 40, ""),
])
def test_a_vdev_that_fails_late_is_told_of_by_a_dryrun(tmp_path, do, status, said):
    """With the ACPI tables; each mistake once, and the vdev is ended as any other."""
    build_vdev(tmp_path, "late", """
	if (ctrl == VDEV_CTRL_TERMINATE)
		vdev_logf(QL_QVM_WARN, vdp, "has ended");
	if ((ctrl == VDEV_CTRL_ASSIGN && is("end")) || (ctrl == VDEV_CTRL_GEN_ACPI && is("end-late")))
		guest_terminate((guest_termination_cause_t)40);
	if (ctrl == VDEV_CTRL_GEN_ACPI && is("error"))
		return ENOMEM;
	if (ctrl == VDEV_CTRL_GEN_ACPI && is("refuse"))
		return qvmx_refuse(vdp, "no room");
	if (ctrl == VDEV_CTRL_GEN_ACPI && is("fatal"))
		qvm_fatal(QLS_CNF, "no place");""")
    for options in ((), ("--format=json",)):
        result = qvm(tmp_path, f"ram 16m\nvdev late do {do}\nload /bin/true\n", "dryrun", options=("--vdev-dir", tmp_path, *options))
        assert result.returncode == status and "dryrun completed" not in result.stderr, result.stderr
        assert "has ended" in result.stderr, result.stderr
        if options:
            said_there = [d["message"] for d in json.loads(result.stdout)["diagnostics"]]
            assert said_there == ([said.split(": error: ")[1]] if said else []), result.stdout
        else:
            assert result.stderr.count(said) == 1 or not said, result.stderr


def test_a_vdev_that_fails_with_the_device_tree_ends_nothing_else(tmp_path):
    build_vdev(tmp_path, "late", """
	if (ctrl == VDEV_CTRL_GEN_FDT)
		qvm_fatal(QLS_CNF, "no node");""")
    result = subprocess.run([TOP / "build-asan/vdev-test", tmp_path / "vdev-late.so"], input="x-fdt\nreadb 0x1000\n", capture_output=True, text=True,
                            timeout=60, check=False)
    assert result.returncode == 0 and "a vdev has not described itself" in result.stdout, result
    assert "OK" in result.stdout, result


def test_help_names_every_option_of_a_vdev():
    result = subprocess.run([QVM, "--help", "vdev", "virtio-blk"], capture_output=True, text=True, check=True)
    for word in ("hostdev", "delayed", "dio", "threads"):
        assert f"\n  {word}" in result.stdout
    assert "intr, name, log, sched: see" in result.stdout
    result = subprocess.run([QVM, "--help", "vdev", "ioapic"], capture_output=True, text=True, check=True)
    assert "log, sched, hostvector, accel: see" in result.stdout
    for words, said in ((["vdev"], "--help vdev needs the name of one"), (["bogus"], "there is no help about 'bogus'"),
                        (["vdev", "bogus"], "bogus")):
        result = subprocess.run([QVM, "--help", *words], capture_output=True, text=True, check=False)
        assert result.returncode == 2 and said in result.stderr and not result.stdout
    assert subprocess.run([QVM, "--nonsense"], capture_output=True, check=False).returncode == 2
    assert subprocess.run([QVM], capture_output=True, check=False).returncode == 2
    assert "virtio-net" in subprocess.run([QVM, "--help", "vdevs"], capture_output=True, text=True, check=True).stdout


def test_a_shared_object_that_is_no_vdev_is_refused(tmp_path):
    (tmp_path / "vdev-nothing.so").write_bytes(b"not an object")
    path = tmp_path / "vm.qvmconf"
    path.write_text("ram 1m\nvdev nothing\n")
    result = subprocess.run([QVM, "--vdev-dir", tmp_path, f"@{path}"], capture_output=True, text=True, check=False)
    assert result.returncode == 65
    assert "vdev-nothing.so cannot be loaded" in result.stderr


def test_a_shared_object_that_needs_what_nobody_has_is_refused(tmp_path):
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", tmp_path / "vdev-needs.so"], check=True, text=True,
                   input="void nobody_has_this(void); __attribute__((constructor)) static void f(void) { nobody_has_this(); }")
    path = tmp_path / "vm.qvmconf"
    path.write_text("ram 1m\nvdev needs\n")
    result = subprocess.run([QVM, "--vdev-dir", tmp_path, f"@{path}"], capture_output=True, text=True, check=False)
    assert result.returncode == 65
    assert re.search(r"vdev-needs.so cannot be loaded: .*nobody_has_this", result.stderr), result.stderr


@pytest.mark.parametrize("crash,signal", [("*(volatile int *)8 = 1;", "SEGV"), ("exit((int)strlen((const char *)8));", "SEGV"), ("abort();", "ABRT")])
def test_a_vdev_that_crashes_is_named(tmp_path, crash, signal):
    """By itself, in a library that it calls, by an abort."""
    subprocess.run(["cc", "-shared", "-fPIC", "-fno-builtin", "-x", "c", "-", "-o", tmp_path / "vdev-bad.so"], check=True, text=True,
                   input="#include <stdlib.h>\n#include <string.h>\n"
                   f"__attribute__((constructor)) static void f(void) {{ {crash} }}")
    path = tmp_path / "vm.qvmconf"
    path.write_text("ram 1m\nvdev bad\n")
    result = subprocess.run([TOP / "build/qvm", "--vdev-dir", tmp_path, f"@{path}"], capture_output=True, text=True, check=False)
    assert result.returncode < 0
    assert re.search(rf"qvm: fatal: SIG{signal} at vdev-bad.so\+0x[0-9a-f]+: the VM ends here", result.stderr), result.stderr


def test_make_install(tmp_path):
    """DESTDIR and PREFIX; then the new tree alone builds and loads a vdev. The build folder keeps its own prefix."""
    def make(prefix, *words):
        subprocess.run(["make", "-C", TOP, "install", f"PREFIX={prefix}", *words], check=True, capture_output=True, timeout=600)

    options = subprocess.run(["meson", "introspect", "--buildoptions", TOP / "build"], check=True, capture_output=True, text=True)
    before = next(o["value"] for o in json.loads(options.stdout) if o["name"] == "prefix")
    try:
        make("/opt/bulk", f"DESTDIR={tmp_path}/root")
    finally:
        subprocess.run(["meson", "configure", TOP / "build", f"-Dprefix={before}"], check=True, capture_output=True)
    root = tmp_path / "root/opt/bulk"
    assert sorted(p.name for p in (tmp_path / "root").iterdir()) == ["opt"]
    for path in ("bin/qvm", "bin/vdev-test", "bin/vdev-fuzz", "bin/qvm-map", "bin/qvm-pass", "bin/qvm-vdev-new", "include/vq.h", "include/qvm/x/pci.h",
                 "share/man/man1/qvm.1", "share/man/man5/qvmconf.5", "share/man/man7/vdev-trace.7"):
        assert (root / path).exists(), path
    env = {"PATH": f"{root}/bin:/usr/bin:/bin", "PKG_CONFIG_PATH": str(next(root.rglob("qvm-vdev.pc")).parent)}
    for words in (["qvm-vdev-new", "own", "--kind", "mmio"], ["make", "-C", "own", "test", "dryrun"]):
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "vdev own" in done.stdout


def guide_machines():
    return re.findall(r"^```qvmconf\n(.*?)^```$", (TOP / "docs/guide.md").read_text(), re.M | re.S)


@pytest.mark.parametrize("text", guide_machines(), ids=lambda text: re.findall(r"vdev (\S+)", text + "vdev none")[-1])
def test_machines_of_the_guide(tmp_path, text):
    """Each is right as it stands, with the host's things that it names."""
    for name in ("vmlinuz", "initrd.img", "disk.img", "data.img"):
        (tmp_path / name).write_bytes(bytes(4096))
    (tmp_path / "bios.bin").write_bytes(bytes(256 * 1024))
    (tmp_path / "keys.evemu").write_text("N: keys\n")
    # What this machine may not have.
    for path, stand_in in (("/dev/input/event3", "keys.evemu"), ("/dev/ttyUSB0", "/dev/null"), ("/var/crash", "."), ("/run/progress", "progress")):
        text = text.replace(path, stand_in)
    result = qvm(tmp_path, text, "dryrun")
    if "pass loc" in text:  # nothing is wrong but that this machine has no such device
        assert re.findall(r"error: (.*)", result.stderr) == ["the host has no PCI device 0000:03:00.0"]
    else:
        assert result.returncode == 0, result.stderr


def test_vdevs_have_pages_in_the_index():
    names = {path.parent.name for path in (TOP / "vdevs").glob("*/*.scd")}
    index = subprocess.run([TOP / "tools/vdevs-index", *(TOP / "vdevs").glob("*/*.scd")], check=True, capture_output=True, text=True).stdout
    assert len(names) > 15
    for name in names:
        assert f"*vdev-{name}*(7)" in index


def test_options_of_vdevs_have_entries_in_their_pages():
    pages = sorted((TOP / "vdevs").glob("*/*.scd"))
    seen = 0
    for page in pages:
        said = subprocess.run([QVM, "--help", "vdev", page.parent.name], capture_output=True, text=True, check=False)
        if said.returncode:  # of the other architecture
            continue
        section = re.search(r"^# OPTIONS$(.*?)(?=^# |\Z)", page.read_text(), re.M | re.S)
        entries = set(re.findall(r"\*([\w-]+)\*", " ".join(re.findall(r"^\*.*", section[1] if section else "", re.M))))
        options = set(re.findall(r"^  ([\w-]+)", said.stdout, re.M))
        assert options <= entries, (page.name, options - entries)
        seen += len(options)
    assert seen > 40, "no options were seen"


def test_a_run_directory_that_leads_nowhere(tmp_path):
    (tmp_path / "qvm").mkdir()
    (tmp_path / "qvm/rail").symlink_to("/nonexistent/x")
    (tmp_path / "vm.qvmconf").write_text("system rail\nram 64m\nload /bin/true\n", encoding="utf-8")
    result = subprocess.run([QVM, "@vm.qvmconf"], cwd=tmp_path, env={**os.environ, "QVM_RUN_DIR": str(tmp_path)}, timeout=30,
                            capture_output=True, text=True, check=False)
    assert result.returncode == 64 and "the run directory" in result.stderr and "No such file" in result.stderr, result.stderr
