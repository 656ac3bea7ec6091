# SPDX-License-Identifier: Apache-2.0
"""The system tier: real guests under the real KVM of a board. One board serves all tests; a board that hangs is
restarted and the test that met it runs once more (at most 4 restarts a run, counted at the end)."""
import os
import pathlib
import shutil
import sys

import pytest
from _pytest.runner import runtestprotocol

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))
sys.path.insert(0, str(TOP / "tests/system"))
sys.dont_write_bytecode = True
from lab import agent, board as boards, images  # noqa: E402
import guests  # noqa: E402

_session = {}


def make_payload(folder):
    """What the tests need on the board: both builds, a kernel, an initramfs, the tools disk, small guests."""
    for name in ("build", "build-asan"):
        (folder / name / "vdevs").mkdir(parents=True)
        os.link(TOP / name / "qvm", folder / name / "qvm")
        for vdev in (TOP / name / "vdevs").glob("vdev-*.so"):
            os.link(vdev, folder / name / "vdevs" / vdev.name)
    for name, path in (("vmlinuz", images.guest_kernel()), ("initrd", images.guest_initrd()),
                       ("tools.squashfs", images.guest_tools())):
        shutil.copyfile(path, folder / name)
    for path in guests.build_small(folder):
        assert path.exists()


@pytest.fixture(scope="session")
def board(tmp_path_factory):
    folder = TOP / "build" / "payload"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    make_payload(folder)
    with boards.Board(payload=[folder], peers=True) as running:
        _session["board"] = running
        running.run("mkdir -p /tmp/t && ip link set lo up")
        yield running
    _session.clear()


@pytest.fixture
def host(board):
    """The board with a clean folder /tmp/t and nothing left of an earlier VM."""
    board.run("pkill -9 -x qvm; rm -rf /tmp/t /run/qvm; mkdir -p /tmp/t; for t in $(ls /sys/class/net | grep ^bh); "
              "do ip link del $t; done; true", check=False)
    return guests.Host(board)


def _hung(reports):
    return any(r.failed and "BoardHung" in str(r.longrepr) for r in reports)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if "board" not in item.fixturenames and "host" not in item.fixturenames:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if _hung(reports) and "board" in _session:
        _session["board"].restart()
        _session["board"].run("mkdir -p /tmp/t")
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter):
    if "board" in _session:
        terminalreporter.write_line(f"board restarts: {_session['board'].restarts}")
