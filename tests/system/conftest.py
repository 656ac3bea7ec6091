# SPDX-License-Identifier: Apache-2.0
"""The system tier: real guests under the real KVM of a board. One board serves all tests of a pytest; tests/run has one for each file, three
side by side. AArch64 boards are beside it."""
import pathlib
import shutil
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))
sys.path.insert(0, str(TOP / "tests/system"))
sys.dont_write_bytecode = True
from lab import images  # noqa: E402
from lab.hangs import pytest_runtest_protocol, pytest_terminal_summary  # noqa: E402,F401  pylint: disable=unused-import
from lab.machines import AARCH64  # noqa: E402
import arm as arm_boards  # noqa: E402
import guests  # noqa: E402


def make_payload(folder):
    """What the tests need on the board: both builds, a kernel, an initramfs, the tools disk, small guests."""
    for name in ("build", "build-asan"):
        guests.link_build(folder, name, name)
        for vdev in ("debugcon", "probe", "old", "ramblk"):
            guests.build_vdev(vdev, folder / name / "vdevs")
    for name, path in {"vmlinuz": images.guest_kernel(), "vmlinux": images.guest_vmlinux(), "initrd": images.guest_initrd(),
                       "tools.squashfs": images.guest_tools(), **images.small_guests()}.items():
        shutil.copyfile(path, folder / name)
    for path in guests.build_small(folder):
        assert path.exists()


@pytest.fixture(scope="session")
def board():
    with guests.board_with(make_payload, peers=True) as running:
        yield running


@pytest.fixture(scope="session")
def arm_board():
    if not (arm_boards.BUILD / "qvm").exists():
        pytest.skip("there is no build-aarch64")
    with arm_boards.board(AARCH64) as running:
        yield running


@pytest.fixture
def arm(arm_board):
    """The AArch64 board with a clean folder /tmp/t and nothing left of an earlier VM."""
    return arm_boards.clean(arm_board)


def pytest_addoption(parser):
    parser.addoption("--machine", choices=list(guests.MACHINES),
                     help="run all tests in this interrupt machine, and none twice")


def pytest_generate_tests(metafunc):
    """Tests with the fixture `machine` run in both interrupt machines, the others in KVM's."""
    own = any("machine" in marker.args[0] for marker in metafunc.definition.iter_markers("parametrize"))
    if "machine" in metafunc.fixturenames and not own:
        only = metafunc.config.getoption("--machine", default=None)
        metafunc.parametrize("machine", [only] if only else list(guests.MACHINES), indirect=True)


@pytest.fixture
def machine(request):
    """The interrupt machine of this test's guests."""
    return request.param


@pytest.fixture
def host(request, board):
    """The board with a clean folder /tmp/t and nothing left of an earlier VM."""
    board.run("ip link set lo up; pkill -9 -x qvm; rm -rf /tmp/t /run/qvm; mkdir -p /tmp/t; for t in $(ls /sys/class/net | grep ^bh); "
              "do ip link del $t; done; true", check=False)
    guests.machine = (request.getfixturevalue("machine") if "machine" in request.fixturenames
                      else request.config.getoption("--machine", default=None) or "kernel")
    return guests.Host(board)
