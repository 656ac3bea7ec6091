# SPDX-License-Identifier: Apache-2.0
"""Commands on a board, through its agent (onboard/agent.c describes the frames)."""
import dataclasses
import os
import re
import select
import shlex
import socket
import struct
import threading
import time

HEAD = 5  # bytes of a frame before its data
SCRIPT_MAX = 120000  # bash gets it as one argument
ALIVE_SECONDS = 20   # an emulated and loaded board may take long to say anything


class CommandFailed(Exception):
    """A command ended with another status than 0."""


class CommandTimeout(Exception):
    """A command did not end in time; the board still answers."""


class BoardHung(Exception):
    """The board does not answer any more."""


@dataclasses.dataclass
class Result:
    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self):
        return self.stdout.decode(errors="replace")

    @property
    def error(self):
        return self.stderr.decode(errors="replace")


class Command:
    """A running command. One thread reads it; any thread may write to it or kill it."""

    def __init__(self, port, kind, data, size=None):
        self.status = None
        self.stdout, self.stderr = bytearray(), bytearray()
        self._received, self._seen = b"", 0
        self._sending = threading.Lock()
        try:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=ALIVE_SECONDS)
            self._socket.settimeout(None)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if size:
                self.resize(*size)
            self._send(kind, data)
        except OSError as error:
            raise BoardHung(f"the board's agent cannot be reached: {error}") from error

    def _send(self, kind, data):
        with self._sending:
            self._socket.sendall(kind + struct.pack(">I", len(data)) + data)

    def resize(self, rows, columns):
        self._send(b"W", b"%d %d" % (rows, columns))

    def write(self, data):
        for start in range(0, len(data), 1 << 16):
            self._send(b"I", data[start:start + (1 << 16)])

    def close_input(self):
        self._send(b"I", b"")

    def _receive(self, length, deadline):
        """Waits until that many bytes are there; what came before a CommandTimeout is kept."""
        while len(self._received) < length:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise CommandTimeout("a command did not end in time")
            try:
                if not select.select([self._socket], [], [], left)[0]:
                    continue
                more = self._socket.recv(1 << 17)
            except (OSError, ValueError) as error:  # ValueError: killed by another thread
                raise BoardHung(f"the connection to the board broke: {error}") from error
            if not more:
                raise BoardHung("the board closed the connection")
            self._received += more

    def read(self, deadline=None):
        """The next piece as ("O" or "E", bytes), or None at the end; pieces are kept in .stdout and .stderr, too.
        `deadline` is on time.monotonic's clock; after CommandTimeout it can be called again."""
        if self.status is not None:
            return None
        self._receive(HEAD, deadline)
        length = HEAD + struct.unpack_from(">I", self._received, 1)[0]
        self._receive(length, deadline)
        kind, data = self._received[:1].decode(), self._received[HEAD:length]
        self._received = self._received[length:]
        if kind == "X":
            self.status = int(data)
            self.kill()
            return None
        (self.stdout if kind == "O" else self.stderr).extend(data)
        return kind, data

    def read_until(self, pattern, timeout=60):
        """Reads until standard output has `pattern` (a regular expression) after the last match; returns the match."""
        deadline = time.monotonic() + timeout
        compiled = re.compile(pattern.encode() if isinstance(pattern, str) else pattern, re.M)
        while True:
            match = compiled.search(self.stdout, self._seen)
            if match:
                self._seen = match.end()
                return match
            try:
                ended = self.read(deadline) is None
            except CommandTimeout:
                raise CommandTimeout(f"no {pattern!r} within {timeout} s; output: {self.tail()}") from None
            if ended:
                raise CommandFailed(f"ended with status {self.status} before {pattern!r}; output: {self.tail()}")

    def wait(self, timeout=60):
        """The Result, once the command has ended."""
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while self.read(deadline):
                pass
        except CommandTimeout:
            raise CommandTimeout(f"a command did not end in time; it said: {self.tail()}") from None
        return Result(self.status, bytes(self.stdout), bytes(self.stderr))

    def tail(self):
        """The end of the output, for messages."""
        return bytes(self.stdout + self.stderr)[-2000:].decode(errors="replace")

    def kill(self):
        """Ends the command, if it still runs, and all that it started on the board in its session."""
        self._socket.close()


class Agent:
    """A board that answers on 127.0.0.1:port."""

    def __init__(self, port):
        self.port = port

    def popen(self, script, size=None):
        """Starts a bash script; `size` = (rows, columns): on a terminal of that size. Returns a Command."""
        if len(script.encode()) > SCRIPT_MAX:
            raise ValueError(f"a script of more than {SCRIPT_MAX} bytes; push it as a file")
        return Command(self.port, b"P" if size else b"S", script.encode(), size)

    def run(self, script, timeout=60, check=True, stdin=b""):
        """Runs a bash script and returns its Result. CommandFailed: it failed, and `check`; CommandTimeout: it was
        killed after `timeout` seconds (None: never); BoardHung: the same, and the board does not answer any more."""
        command = self.popen(script)
        feeder = threading.Thread(target=_feed, args=(command, stdin), daemon=True)
        feeder.start()
        try:
            result = command.wait(timeout)
        except CommandTimeout:
            command.kill()
            if not self.alive():
                raise BoardHung(f"the board hangs; it was to run: {script[:200]!r}") from None
            raise CommandTimeout(f"killed after {timeout} s: {script[:200]!r}; it said: {command.tail()}") from None
        finally:
            command.kill()
            feeder.join()
        if check and result.status:
            raise CommandFailed(f"status {result.status}: {script[:200]!r}\n{result.text[-2000:]}{result.error[-2000:]}")
        return result

    def alive(self):
        """Whether a command gets an answer within ALIVE_SECONDS."""
        try:
            return self.popen(":").wait(ALIVE_SECONDS).status == 0
        except (CommandTimeout, BoardHung):
            return False

    def push(self, data, path, mode=0o644, timeout=60):
        """Writes bytes to a file on the board, with the folders it needs."""
        path = shlex.quote(path)
        self.run(f'mkdir -p "$(dirname {path})" && cat > {path} && chmod {mode:o} {path}', timeout, stdin=data)

    def fetch(self, path, timeout=60):
        """The bytes of a file on the board."""
        return self.run(f"cat {shlex.quote(path)}", timeout).stdout

    def wake(self):
        """Sets the board's clock and feeds its random numbers: a resumed board lives in the past."""
        now = time.time_ns()
        stamp = struct.pack(">II", now // 10**9, now % 10**9)
        if Command(self.port, b"T", stamp + os.urandom(64)).wait(ALIVE_SECONDS).status:
            raise BoardHung("the board's clock and random numbers cannot be set")


def _feed(command, data):
    try:
        command.write(data)
        command.close_input()
    except OSError:
        pass  # the command ended without reading all of it
