# SPDX-License-Identifier: Apache-2.0
"""qvm without KVM: mistakes in files, dryrun, the ACPI tables. No board is needed."""
import pathlib
import subprocess

import pytest

import guests

TOP = pathlib.Path(__file__).resolve().parents[2]
QVM = TOP / "build-asan/qvm"


def qvm(tmp_path, text, *words):
    path = tmp_path / "vm.qvmconf"
    path.write_text(text)
    return subprocess.run([QVM, f"@{path.name}", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)


def test_all_mistakes_of_all_files_in_one_run(tmp_path):
    (tmp_path / "other.qvmconf").write_text("vdev virtio-blk hostdevv /dev/null\ncpu sched x\n")
    result = qvm(tmp_path, "ram 1x\nram 256m\nvdev virtio-blok\nload nothing-there\n", "@other.qvmconf", "dryrun")
    assert result.returncode == 65
    for part in ("vm.qvmconf:1:5: error:", "vm.qvmconf:3:6: error:", "did you mean 'virtio-blk'?", "~~~",
                 "vm.qvmconf:4:6: error:", "other.qvmconf:1:17: error:", "did you mean 'hostdev'?", "other.qvmconf:2:11: error:"):
        assert part in result.stderr, result.stderr


@pytest.mark.parametrize("text", ["pass loc 0x1000,0x1000\n", "vdev virtio-entropy loc 0x1c0d0000\n", "dump /tmp\n",
                                  "vdev ioapic accel off\n", "vdev ioapic loc 0xf8000000\n", "fdt load x\n"])
def test_known_words_that_are_not_built_say_so(tmp_path, text):
    result = qvm(tmp_path, "ram 256m\n" + text, "dryrun")
    assert result.returncode == 65
    assert "not built yet" in result.stderr


@pytest.mark.parametrize("text,owners", [
    ("ram 0,2m\nram 1m,1m\n", ["ram overlaps ram"]),
    ("ram 0,3600m\n", ["ram overlaps the PCI configuration space"]),
    ("ram 1m\nvdev ser8250\nvdev ser8250 loc 0x3fc name b\n", ["vdev ser8250 'b' overlaps vdev ser8250", "vdev ser8250 is here"]),
    ("ram 1m\n" + guests.PLATFORM + "vdev ser8250 intr myioapic:4\nvdev ser8250 loc 0x2f8 intr myioapic:4 name b\n",
     ["interrupt myioapic:4 of vdev ser8250 'b' is already that of vdev ser8250"]),
    ("ram 1m\nvdev virtio-entropy loc pci:0:3\nvdev virtio-entropy loc pci:0:3 name b\n", ["that PCI place is taken"]),
    ("ram 1m\nvdev ser8250 loc 0x600\n", ["vdev ser8250 overlaps the ACPI platform"]),
    ("ram 1m\nvdev ser8250 loc 0xfffc\n", ["vdev ser8250 ends outside of the ports"]),
])
def test_overlaps_and_double_use_name_both_owners(tmp_path, text, owners):
    result = qvm(tmp_path, text, "dryrun")
    assert result.returncode == 65
    for owner in owners:
        assert owner in result.stderr, result.stderr


def test_dryrun_prints_the_machine(tmp_path):
    (tmp_path / "k").write_bytes(b"x")
    result = qvm(tmp_path, "system shown\nram 256m\ncpu cpu\nload k\n" + guests.PLATFORM +
                 "vdev ser8250 intr myioapic:4\nvdev virtio-entropy\n", "dryrun")
    assert result.returncode == 0, result.stderr
    for part in ("VM shown, 2 vCPUs", "Interrupt machine: kernel", "000000000000-00000fffffff  ram", "03f8-03ff  vdev   vdev ser8250",
                 "myioapic:4  vdev ser8250", "00:00.0  1c05:0002  class 0600", "00:01.0  1af4:1044", "PNP0501, unit 0"):
        assert part in result.stdout, result.stdout
    assert "Exiting: dryrun completed" in result.stderr


def test_acpi_tables_have_nothing_to_complain_of(tmp_path):
    """iasl disassembles and recompiles what the guest gets, without a warning."""
    result = qvm(tmp_path, "ram 256m\ncpu cpu cpu cpu\nset acpi-dump-dir .\n" + guests.PLATFORM + "vdev ser8250 intr myioapic:4\n",
                 "dryrun")
    assert result.returncode == 0, result.stderr
    assert {p.name for p in tmp_path.glob("*.dat")} == {"FACP.dat", "DSDT.dat", "APIC.dat", "MCFG.dat", "XSDT.dat", "RSDT.dat"}
    for table in sorted(tmp_path.glob("*.dat")):
        for command in (["iasl", "-d", table.name], ["iasl", table.stem + ".dsl"]):
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
            said = done.stdout + done.stderr
            assert "Warning " not in said and "Error " not in said, said
            if command[1] != "-d":
                assert "0 Errors, 0 Warnings, 0 Remarks" in said, said


def test_help_names_every_option_of_a_vdev():
    result = subprocess.run([QVM, "--help", "vdev", "virtio-blk"], capture_output=True, text=True, check=True)
    for word in ("hostdev", "delayed", "dio", "threads"):
        assert f"\n  {word}" in result.stdout
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
