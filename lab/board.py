# SPDX-License-Identifier: Apache-2.0
"""A board: an emulated machine with hardware virtualization, a Linux host with KVM on it, and a way in.

The first start boots it and saves it; the later ones resume that. The saved memory is mapped privately from the
cache, so a resumed board reads only what it touches and several share the rest.
"""
import ctypes
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from lab import cache, images
from lab.agent import Agent, BoardHung
from lab.machines import X86_64

START_SECONDS = 180
STUCK_SECONDS = 50  # its kernel tells of it every 26 s or so
RESTARTS_MAX = 4
MEMORY_MIB = 3072
CPUS = 2
SCRATCH_SIZE = 4 << 30
AGENT_PORT = 10
READY = b"BULKHEAD-BOARD-READY"

_libc = ctypes.CDLL(None, use_errno=True)


class QemuFailed(BoardHung):
    """QEMU ended or refused a command."""


class Qmp:
    """QEMU's control socket."""

    def __init__(self, folder):
        # A path through the folder's descriptor: the socket's own may be longer than a socket address can be.
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(30)
            for attempt in range(100):  # it has its name a moment before it listens
                try:
                    self._socket.connect(f"/proc/self/fd/{handle}/qmp")
                    break
                except ConnectionRefusedError:
                    if attempt == 99:
                        raise
                    time.sleep(0.1)
        finally:
            os.close(handle)
        self._lines = self._socket.makefile("rb")
        self._lines.readline()
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        for line in self._lines:
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise QemuFailed(f"{command}: {answer['error']['desc']}")
        raise QemuFailed(f"{command}: QEMU closed its control socket")

    def close(self):
        self._lines.close()
        self._socket.close()


def _die_with_parent(parent):
    pr_set_pdeathsig = 1
    _libc.prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Board(Agent):
    """A board of the caller's own. It ends with the thread that started it (and so with a killed program) unless `stays`.

    payload: files and folders; they appear under /payload, each by its own name (one folder: what is in it).
    peers: QEMU on the board, by its usual name, to compare with.
    cold: boot it, whatever is saved; boards of a machine that does not resume soundly are always booted.
    machine: what it is, of lab.machines or, with devices to pass through, lab.passing.
    """

    def __init__(self, payload=(), peers=False, cold=False, stays=False, machine=X86_64):
        super().__init__(None)
        for path in payload:
            if not os.path.exists(path):
                raise ValueError(f"no file or folder '{path}' for the payload")
        self.machine = machine
        self.payload = [os.path.abspath(path) for path in payload]
        self.peers = peers
        self.cold = cold or not machine.resumes
        self.stays = stays
        self.restarts = 0
        self.folder = self._lock = self.process = self.qmp = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def serial_log(self):
        """What the board's kernel and first programs said."""
        return os.path.join(self.folder, "serial.log")

    def serial_text(self):
        """What is in it."""
        return cache.file_bytes(self.serial_log).decode(errors="replace")

    def stuck(self):
        """What its kernel says if one of its processors has not got on for longer than a loaded machine may halt it, or None."""
        said = [line for line in self.serial_text().splitlines() if "soft lockup" in line]
        seconds = [int(n) for line in said for n in re.findall(r"stuck for (\d+)s", line)]
        return said[-1].strip() if max(seconds, default=0) >= STUCK_SECONDS else None

    def start(self):
        """Starts the board; it is ready for commands when this returns."""
        saved = None if self.cold else self._saved()
        self.folder, self._lock = _run_folder()
        try:
            images.payload(self.payload, f"{self.folder}/payload.img")
            if saved:
                self._spawn(f"memory-backend-file,mem-path={saved}/memory,share=off", "-incoming", "defer")
                self._migrate("migrate-incoming", f"exec:cat {shlex.quote(saved)}/state")
                self.qmp("cont")
            else:
                self._spawn("memory-backend-ram")
                self._wait_for_boot()
            self.wake()
            self.run(_mounts(self.payload, self.peers))
        except BaseException:
            self.stop()
            raise

    def stop(self):
        """Ends the board at once and removes its folder."""
        if self.qmp:
            self.qmp.close()
        if self.process:
            self.process.kill()
            self.process.wait()
        if self.folder:
            with cache.lock("run"):  # a folder whose lock is gone looks like a dead board's to one that starts
                shutil.rmtree(self.folder)
            self._lock.close()
        self.folder = self._lock = self.process = self.qmp = None

    def restart(self):
        """For a board that hangs."""
        if self.restarts == RESTARTS_MAX:
            raise BoardHung(f"the board hung again after {RESTARTS_MAX} restarts")
        self.restarts += 1
        self.stop()
        self.start()

    def _arguments(self):
        """QEMU's, without those that differ between booting and resuming. Paths in the cache carry hashes."""
        peers_disk = f"driver=null-co,size={images.PEERS_SIZE},read-zeroes=on,read-only=on"
        disks = {"root": f"driver=file,filename={images.board_root(self.machine)},read-only=on",
                 "payload": "driver=file,filename=payload.img,read-only=on",
                 "peers": peers_disk,
                 "scratch": "driver=file,filename=scratch.img,discard=unmap"}
        fixed = [*self.machine.qemu_args, "-smp", str(CPUS), "-m", str(MEMORY_MIB),
                 "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                 "-kernel", images.board_kernel(self.machine), "-initrd", images.board_initramfs(self.machine),
                 "-append", self.machine.kernel_args,
                 "-serial", "file:serial.log", "-qmp", "unix:qmp,server=on,wait=off",
                 "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:0-10.0.2.15:{AGENT_PORT}",
                 "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"]
        for name, disk in disks.items():
            fixed += ["-blockdev", f"node-name={name},{disk}", "-device", f"virtio-blk-pci,drive={name},serial={name}"]
        return fixed

    def _spawn(self, memory, *more):
        arguments = [self.machine.qemu, *self._arguments(), "-object", f"{memory},id=memory,size={MEMORY_MIB}M", *more]
        if self.peers:
            at = arguments.index(next(word for word in arguments if word.startswith("node-name=peers,")))
            arguments[at] = f"node-name=peers,driver=file,filename={images.peers(self.machine)},read-only=on"
        parent = os.getpid()
        for name, data, size in (("scratch.img", b"", SCRATCH_SIZE), *self.machine.files):
            with open(f"{self.folder}/{name}", "wb") as file:
                file.write(data)
                file.truncate(size)
        # QEMU inherits the lock: the folder is in use as long as either lives.
        with open(f"{self.folder}/qemu.log", "wb") as log:
            self.process = subprocess.Popen(
                arguments, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[self._lock.fileno()],
                start_new_session=self.stays, preexec_fn=None if self.stays else lambda: _die_with_parent(parent))
        self._poll("QEMU's control socket", 30, lambda: os.path.exists(f"{self.folder}/qmp"))
        self.qmp = Qmp(self.folder)
        ports = self.qmp("human-monitor-command", **{"command-line": "info usernet"})
        self.port = int(re.search(r"HOST_FORWARD\S*\s+\d+\s+127\.0\.0\.1\s+(\d+)", ports).group(1))

    def _poll(self, what, seconds, done):
        deadline = time.monotonic() + seconds
        while not done():
            if self.process.poll() is not None or time.monotonic() > deadline:
                ended = "ended" if self.process.poll() is not None else f"{what} did not come in {seconds} s"
                said = b"".join(cache.file_bytes(f"{self.folder}/{name}")[-1500:]
                                for name in ("qemu.log", "serial.log") if os.path.exists(f"{self.folder}/{name}"))
                raise BoardHung(f"QEMU {ended}; it said: {said.decode(errors='replace')}")
            time.sleep(0.01)

    def _migrate(self, command, uri):
        self.qmp("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])
        self.qmp(command, uri=uri)
        status = {}

        def done():
            status.update(self.qmp("query-migrate"))
            if status.get("status") == "failed":
                raise BoardHung(f"{command} failed: {cache.file_bytes(f'{self.folder}/qemu.log').decode()}")
            return status.get("status") == "completed"

        self._poll(command, 60, done)

    def _wait_for_boot(self):
        self._poll("the board's agent", START_SECONDS, lambda: READY in cache.file_bytes(self.serial_log))

    def _saved(self):
        """The folder of the saved board, made if need be."""
        version = subprocess.run([self.machine.qemu, "--version"], capture_output=True, check=True).stdout
        cpu = re.search(rb"model name.*", cache.file_bytes("/proc/cpuinfo")).group()

        def build(path):
            os.mkdir(path)
            self.folder, self._lock = _run_folder()
            try:
                images.payload([], f"{self.folder}/payload.img")
                self._spawn(f"memory-backend-file,mem-path={path}/memory,share=on")
                self._wait_for_boot()
                self.run(":")
                self.qmp("stop")
                self._migrate("migrate", f"exec:cat > {shlex.quote(path)}/state")
            finally:
                self.stop()

        # A saved board counts time by the CPU it was saved on. Where the cache lies does not matter to it.
        arguments = [word.replace(cache.folder(), "") for word in self._arguments()]
        return cache.artifact(self.machine.named("board"), cache.key(arguments, version, cpu, cache.file_bytes(__file__)), build)


def _mounts(payload, peers):
    script = "set -e\n"
    for name, wanted in (("payload", payload), ("peers", peers)):
        if wanted:
            script += f"blockdev --flushbufs /dev/board/{name}; mount -t squashfs -o ro /dev/board/{name} /{name}\n"
    return script


def _in_use(folder):
    try:
        with open(f"{folder}/lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def _run_folder():
    """A new folder for a running board, and its lock (held by whoever has it open); removes those left by dead boards."""
    parent = os.path.join(cache.folder(), "run")
    os.makedirs(parent, exist_ok=True)
    with cache.lock("run"):
        for name in os.listdir(parent):
            if not _in_use(os.path.join(parent, name)):
                shutil.rmtree(os.path.join(parent, name))
        folder = tempfile.mkdtemp(dir=parent)
        lock = open(f"{folder}/lock", "wb")  # pylint: disable=consider-using-with
        fcntl.flock(lock, fcntl.LOCK_SH)
    return folder, lock


# The board that stays up for a developer: CACHE/run/up points at its folder.

def _up_link():
    return os.path.join(cache.folder(), "up")


def up(payload=(), peers=False, machine=X86_64):
    """Starts the board that stays up."""
    if os.path.exists(_up_link()):
        raise BoardHung("a board is up already; `lab/board down` ends it")
    board = Board(payload, peers, stays=True, machine=machine)
    board.start()
    with open(f"{board.folder}/port", "w", encoding="ascii") as file:
        file.write(str(board.port))
    cache.remove(_up_link())
    os.symlink(board.folder, _up_link())
    return board


def attach():
    """The board that stays up, as an Agent."""
    if not os.path.exists(_up_link()) or not _in_use(_up_link()):
        raise BoardHung("no board is up; `lab/board up` starts one")
    return Agent(int(cache.file_bytes(f"{_up_link()}/port")))


def down():
    """Ends the board that stays up."""
    attach()
    Qmp(_up_link())("quit")
    cache.remove(_up_link())
