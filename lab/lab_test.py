# SPDX-License-Identifier: Apache-2.0
"""Tests of the lab itself: /usr/bin/python3 -m pytest lab"""
import os
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from lab import agent, board, cache, cpio, hangs, images  # noqa: E402

COMMAND = os.path.join(os.path.dirname(os.path.abspath(__file__)), "board")


@pytest.fixture(scope="module", name="lab_board")
def started_board(tmp_path_factory):
    """One board for the tests that leave it as it was."""
    payload = tmp_path_factory.mktemp("payload")
    (payload / "hello").write_bytes(b"hello\0payload\xff")
    with board.Board([payload, images.guest_kernel(), images.guest_initrd(), images.guest_tools()],
                     peers=True) as started:
        hangs.shared.append(started)
        yield started
        hangs.shared.remove(started)


def wait_for(what, seconds=20):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def is_running(pid):
    try:
        return cache.file_bytes(f"/proc/{pid}/stat").rpartition(b") ")[2][:1] != b"Z"
    except FileNotFoundError:
        return False


def test_status_and_streams(lab_board):
    result = lab_board.run("echo out; echo err >&2; exit 7", check=False)
    assert (result.status, result.stdout, result.stderr) == (7, b"out\n", b"err\n")
    with pytest.raises(agent.CommandFailed, match="status 3"):
        lab_board.run("exit 3")


def test_binary_files_survive(lab_board):
    data = os.urandom(3 << 20)
    lab_board.push(data, "/tmp/deep/folder/a file", 0o755)
    assert lab_board.fetch("/tmp/deep/folder/a file") == data
    assert lab_board.run("stat -c %a '/tmp/deep/folder/a file'").text == "755\n"


def test_payload(lab_board):
    name = lab_board.payload[0].rpartition("/")[2]
    assert lab_board.fetch(f"/payload/{name}/hello") == b"hello\0payload\xff"


def test_several_commands_at_once(lab_board):
    first = lab_board.popen("read -r word; echo got $word")
    assert lab_board.run("echo second").text == "second\n"
    first.write(b"it\n")
    assert first.wait().text == "got it\n"


def test_terminal(lab_board):
    command = lab_board.popen("stty size; read -r line; tty", (33, 101))
    assert command.read_until(r"(\d+ \d+)\r\n").group(1) == b"33 101"
    command.write(b"x\r")
    assert b"/dev/pts/" in command.wait().stdout


def test_late_command_is_killed(lab_board):
    with pytest.raises(agent.CommandTimeout, match="before"):
        lab_board.run("echo before; sleep 1000 & sleep 1000", timeout=2)
    wait_for(lambda: lab_board.run("pgrep sleep", check=False).status == 1)


def test_kvm_is_good(lab_board):
    assert lab_board.run("kvm-probe").text.startswith("good:")


def test_guest_with_own_test(lab_board):
    """A stock kernel runs under the board's KVM; a second archive after the first adds /test."""
    test = "#!/bin/sh\necho from-the-guest $(cat /sys/class/misc/hw_random/rng_available)\n"
    lab_board.push(cpio.archive({"test": test}), "/tmp/test.cpio")
    kernel, initrd = (os.path.basename(path) for path in (images.guest_kernel(), images.guest_initrd()))
    said = lab_board.run(
        f"cat /payload/{initrd} /tmp/test.cpio > /tmp/initrd; "
        "qemu-system-x86_64 -M microvm,accel=kvm,pcie=on,rtc=on -cpu host -m 256 -nodefaults -no-user-config -display none -no-reboot "
        f"-serial stdio -kernel /payload/{kernel} -initrd /tmp/initrd -device virtio-rng-pci "
        "-append 'console=ttyS0 quiet panic=-1 reboot=t'", timeout=120).text
    assert "BULKHEAD-GUEST-INIT " in said
    assert "from-the-guest virtio_rng.0" in said


def test_guest_tools(lab_board):
    """Every library that the tools need is on their disk."""
    said = lab_board.run(f"mount -o loop,ro /payload/{os.path.basename(images.guest_tools())} /mnt; chroot /mnt fio --version; "
                         "chroot /mnt lspci --version; chroot /mnt setpci --version; umount /mnt").text
    assert [line.split()[0].split("-")[0] for line in said.splitlines()] == ["fio", "lspci", "setpci"]


def test_shell_in_guest(lab_board):
    """A shell with job control: Ctrl-C ends what runs, not the shell."""
    kernel, initrd = (os.path.basename(path) for path in (images.guest_kernel(), images.guest_initrd()))
    command = lab_board.popen(
        "stty raw -echo; exec qemu-system-x86_64 -M microvm,accel=kvm,pcie=on,rtc=on -cpu host -m 256 -nodefaults "
        f"-no-user-config -display none -no-reboot -kernel /payload/{kernel} -initrd /payload/{initrd} "
        "-append 'console=hvc0 quiet panic=-1 reboot=t shell' -device virtio-serial-pci "
        "-chardev stdio,id=console,signal=off -device virtconsole,chardev=console", (24, 80))
    command.read_until("/ # ", 90)
    command.write(b"tty; sh -c 'echo run$((40+2)); exec sleep 1000'\r")
    command.read_until(r"/dev/hvc0\s+run42\s", 60)
    command.write(b"\x03")
    command.read_until("/ # ", 60)
    command.write(b"exit\r")
    assert command.wait(60).status == 0


def test_resumed_board_lives_now():
    """Two boards resumed from one saved state: the clock is right, and their random numbers differ at once."""
    numbers = []
    for _ in range(2):
        with board.Board() as resumed:
            begun = time.time()
            said = resumed.run("date +%s.%N; od -An -N16 -tx1 /dev/urandom").text.split("\n")
            assert begun - 1 < float(said[0]) < time.time() + 1
            assert float(resumed.run("cut -d' ' -f1 /proc/uptime").text) < 60
            numbers.append(said[1])
    assert numbers[0] != numbers[1]


def test_hang_is_found_and_restart_helps(monkeypatch):
    monkeypatch.setattr(agent, "ALIVE_SECONDS", 3)
    with board.Board() as hanging:
        hanging.run("echo x > /tmp/before")
        hanging.qmp("stop")
        with pytest.raises(agent.BoardHung):
            hanging.run("echo never", timeout=1)
        hanging.restart()
        assert hanging.run("cat /tmp/before", check=False).status == 1
        assert hanging.restarts == 1
        hanging.process.kill()
        with pytest.raises(agent.BoardHung):
            hanging.run("echo never", timeout=1)
        hanging.restarts = board.RESTARTS_MAX
        with pytest.raises(agent.BoardHung, match="after 4 restarts"):
            hanging.restart()


def test_killed_program_leaves_no_qemu():
    """kill -9 of the program that started a board."""
    script = ("import sys; sys.path.insert(0, sys.argv[1]); from lab.board import Board\n"
              "b = Board(); b.start(); print(b.process.pid, b.folder, flush=True); b.run('sleep 1000', timeout=None)")
    with subprocess.Popen([sys.executable, "-c", script, os.path.dirname(os.path.dirname(COMMAND))],
                          stdout=subprocess.PIPE, text=True) as program:
        pid, folder = program.stdout.readline().split()
        assert is_running(pid)
        program.send_signal(signal.SIGKILL)
    wait_for(lambda: not is_running(pid))
    with board.Board():
        assert not os.path.exists(folder)


def test_command_line(tmp_path):
    (tmp_path / "hello").write_text("hello\n")
    done = subprocess.run([COMMAND, "run", "--payload", tmp_path, "--", "cat /payload/hello -; exit 5"], input=b"typed",
                          capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (5, b"hello\ntyped")


def test_command_line_does_not_wait_for_a_stuck_board():
    script = "echo '<2>watchdog: BUG: soft lockup - CPU#0 stuck for 52s! [sleep:1]' > /dev/kmsg; sleep 100"
    start = time.monotonic()
    done = subprocess.run([COMMAND, "run", "--", script], capture_output=True, text=True, check=False)
    assert done.returncode == 125 and "lab/board: the board hangs: " in done.stderr and time.monotonic() - start < 90, done.stderr


def test_board_that_stays_up(tmp_path, monkeypatch):
    """In a cache of its own, so that a developer's board is left alone; the images are the same ones."""
    shared, own = cache.folder(), tmp_path / "cache"
    own.mkdir()
    for entry in os.scandir(shared):
        if entry.name not in ("run", "up"):
            (own / entry.name).symlink_to(entry.path)
    monkeypatch.setenv("BULKHEAD_CACHE", str(own))
    subprocess.run([COMMAND, "up"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([COMMAND, "run", "--up", "--", "echo kept > /tmp/here"], check=True)
    said = subprocess.run([COMMAND, "run", "--up", "--", "cat", "/tmp/here"], check=True, capture_output=True).stdout
    assert said == b"kept\n"
    subprocess.run([COMMAND, "down"], check=True)
    assert subprocess.run([COMMAND, "run", "--up", "--", "true"], check=False, stderr=subprocess.DEVNULL).returncode == 125


def test_half_made_artifact_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("BULKHEAD_CACHE", str(tmp_path))

    def killed(path):
        os.mkdir(path)
        raise KeyboardInterrupt

    def whole(path):
        with open(path, "w", encoding="ascii") as file:
            file.write("whole")

    with pytest.raises(KeyboardInterrupt):
        cache.artifact("thing", "1", killed)
    assert cache.file_bytes(cache.artifact("thing", "1", whole)) == b"whole"
    assert cache.file_bytes(cache.artifact("thing", "1", killed)) == b"whole"


def test_archive_is_what_cpio_reads():
    data = cpio.archive({"a/b/file": b"12345", "link": cpio.link("a"), "plain": cpio.file(b"", 0o600), "folder": None})
    listed = subprocess.run(["cpio", "-itv", "--quiet"], input=data, capture_output=True, check=True).stdout.decode()
    assert [line.split()[0] for line in listed.splitlines()] == [
        "drwxr-xr-x", "drwxr-xr-x", "-rwxr-xr-x", "lrwxrwxrwx", "-rw-------", "drwxr-xr-x"]
