# SPDX-License-Identifier: Apache-2.0
"""VM files as other people write them (tests/foreign): each is read with success, or with an exact list of what is not supported,
line by line: NAME.expected has qvm's exit status and its messages."""
import io
import os
import pathlib
import re
import subprocess
import tarfile
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
FOLDER = TOP / "tests/foreign"
# What the files name. Kernels are not looked into by a dryrun.
TREE = b'/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; compatible = "acme,board"; };'


def prepare(folder):
    """Their folder, as their authors have it: the files, and whatever they load."""
    for path in FOLDER.glob("*.qvmconf"):
        (folder / path.name).write_bytes(path.read_bytes())
        for name in re.findall(r"\bload (?:0x[0-9a-f]+,)?(\S+)", path.read_text()):
            (folder / name).write_bytes(b"\0" * 4096)
    (folder / "board.dtb").write_bytes(subprocess.run(["dtc", "-O", "dtb"], input=TREE, capture_output=True, check=True).stdout)
    (folder / "ssdt.aml").unlink()
    (folder / "x.asl").write_text('DefinitionBlock ("ssdt.aml", "SSDT", 2, "USERS ", "TABLE   ", 1) { Name (\\ABCD, One) }')
    subprocess.run(["iasl", "x.asl"], cwd=folder, capture_output=True, check=True)
    with open(folder / "disk.img", "wb") as disk:
        disk.truncate(1 << 20)
    (folder / "system.img").write_bytes((folder / "disk.img").read_bytes())


def check(arch, board, qvm):
    """`qvm FILE dryrun` on the board for all files of that architecture; what they pass is there or not as it is on the board. With
    BULKHEAD_UPDATE=1 in the environment the expectations are written anew: read them before they are kept."""
    with tempfile.TemporaryDirectory() as name:
        prepare(pathlib.Path(name))
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            archive.add(name, ".")
    board.run("rm -rf /tmp/foreign && mkdir /tmp/foreign && tar -x -C /tmp/foreign", stdin=data.getvalue())
    wrong = []
    for path in sorted(FOLDER.glob(f"{arch}-*.qvmconf")):
        result = board.run(f"cd /tmp/foreign && {qvm} @{path.name} dryrun > /dev/null", check=False)
        got = f"status {result.status}\n{result.error}"
        expected = path.with_suffix(".expected")
        if os.environ.get("BULKHEAD_UPDATE"):
            expected.write_text(got)
        if not expected.exists() or got != expected.read_text():
            wrong.append(f"{path.name}:\n{got}")
    assert not wrong, "\n".join(wrong)
