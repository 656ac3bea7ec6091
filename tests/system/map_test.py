# SPDX-License-Identifier: Apache-2.0
"""qvm-map on files, without KVM: the picture has all of the machine, and its boxes do not lie over one another."""
import json
import subprocess
import xml.etree.ElementTree as xml

import jsonschema

import guests
from guests import TOP

SVG = "{http://www.w3.org/2000/svg}"
FILE = ("system x\nram 0,0xa0000\nrom 0xc0000,0x40000\nram 1m,255m\ncpu\ncpu\n" + guests.PLATFORM + guests.SERIAL +
        "load image\nvdev virtio-blk name disk-0 hostdev disk&1\nvdev virtio-blk hostdev <image\n" + guests.CONSOLE)


def draw(folder, text, *words):
    (folder / "image").write_bytes(guests.RAW_HI)
    (folder / "disk&1").write_bytes(bytes(512))
    (folder / "vm.qvmconf").write_text(text)
    return subprocess.run([TOP / "tools/qvm-map", "--qvm", TOP / "build-asan/qvm", "vm.qvmconf", *words], cwd=folder,
                          capture_output=True, text=True, check=False)


def test_the_picture_has_the_machine(tmp_path):
    done = draw(tmp_path, FILE)
    assert done.returncode == 0, done.stderr
    root = xml.fromstring(done.stdout)
    said = [text.text for text in root.iter(f"{SVG}text")]
    for words in ("x", "2 vCPUs, 255.6 MiB of RAM, interrupt machine “kernel”", "0x100000 - 0xfffffff  255 MiB", "ROM",
                  "ioapic  “myioapic”", "virtio-blk  “disk-0”", "PCI 00:01.0  1af4:1042  class 0180", "disk&1", "from image",
                  "to qvm's terminal", "interrupt myioapic:4", "ports 0x3f8-0x3ff", "4: vdev ser8250"):
        assert words in said, (words, said)


def test_passed_devices_are_in_it(tmp_path):
    """What is passed, and the vdev before a part of it; the same in the document that the picture is made of."""
    text = "ram 1m\nvdev clk-guard loc mem:0x30000008 rule 0=mask,f\npass loc 0x30000000,0x1000,rwn=0xfed40000\n"
    done = draw(tmp_path, text)
    assert done.returncode == 0, done.stderr
    boxes = [box.get("class") for box in xml.fromstring(done.stdout).iter(f"{SVG}rect")]
    assert "pass" in boxes and "guard" in boxes
    said = subprocess.run([TOP / "build-asan/qvm", "--format=json", "@vm.qvmconf", "dryrun"], cwd=tmp_path, capture_output=True, check=True).stdout
    jsonschema.validate(json.loads(said), json.loads((TOP / "docs/schema/qvm-dryrun.schema.json").read_text()))


def test_boxes_do_not_overlap(tmp_path):
    boxes = [[float(box.get(word)) for word in ("x", "y", "width", "height")]
             for box in xml.fromstring(draw(tmp_path, FILE).stdout).iter(f"{SVG}rect") if box.get("x")]
    assert len(boxes) > 40
    for i, (x, y, width, height) in enumerate(boxes):
        for other in boxes[:i]:
            assert (x + width <= other[0] or other[0] + other[2] <= x or
                    y + height <= other[1] or other[1] + other[3] <= y), (boxes[i], other)


def test_written_to_a_file_and_refused(tmp_path):
    assert draw(tmp_path, FILE, "-o", "vm.svg").stdout == ""
    xml.parse(tmp_path / "vm.svg")
    assert draw(tmp_path, FILE, "-o", "/dev/full").returncode == 74
    wrong = draw(tmp_path, "ram 1x\n")
    assert wrong.returncode == 65 and "vm.qvmconf:1:5" in wrong.stderr and wrong.stdout == ""
    assert draw(tmp_path, FILE, "--no-such").returncode == 64


def test_vdevs_from_a_folder_of_ones_own(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/vdev-trace.so").write_bytes(b"none")
    done = draw(tmp_path, "ram 1m\nvdev trace\n", "--vdev-dir", "own")
    assert done.returncode == 65 and "own/vdev-trace.so cannot be loaded: it is no shared object" in done.stderr
