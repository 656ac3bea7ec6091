# SPDX-License-Identifier: Apache-2.0
"""Initramfs archives (cpio "newc"), written without root. Linux unpacks archives that follow one another in one file,
so a test adds its own `/test` to the guest's image by appending `archive({"test": script})` to it."""
import stat


def _entry(name, mode, data, inode):
    encoded = name.encode() + b"\0"
    fields = [inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def link(target):
    """The value for a symbolic link in `archive`."""
    return (stat.S_IFLNK | 0o777, target.encode())


def file(data, mode=0o755):
    """The value for a file in `archive`, where its mode is not 0755."""
    return (stat.S_IFREG | mode, data)


def archive(files):
    """The archive of {path: bytes or str (a file of mode 0755), None (a folder), link(...) or file(...)}."""
    entries = {}
    for path, value in files.items():
        path = path.strip("/")
        parts = path.split("/")
        for depth in range(1, len(parts)):
            entries.setdefault("/".join(parts[:depth]), (stat.S_IFDIR | 0o755, b""))
        if value is None:
            value = (stat.S_IFDIR | 0o755, b"")
        elif isinstance(value, str):
            value = file(value.encode())
        elif isinstance(value, bytes):
            value = file(value)
        entries[path] = value
    parts = [_entry(path, mode, data, number) for number, (path, (mode, data)) in enumerate(entries.items(), 1)]
    parts.append(_entry("TRAILER!!!", 0, b"", 0))
    whole = b"".join(parts)
    return whole + b"\0" * (-len(whole) % 512)
