"""Limits a process puts on itself before it touches a stranger's file (Linux).

What the system allows is used and the rest is named as missing: a process without privileges may
always lower its limits and, on kernels from 5.13, fence itself in with Landlock; namespaces of its
own are at the mercy of the container it runs in. Nothing here can be undone by the process.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
_NOBODY = 65534
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION = 1
_LANDLOCK_PATH_BENEATH = 1
_FS_READ_FILE, _FS_READ_DIR = 1 << 2, 1 << 3
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15}
"""File access rights by version of Landlock: the first so many bits; 16 from version 5."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the process may use."""

    memory_bytes: int = 8 * 1024**3
    cpu_seconds: int = 600
    file_bytes: int = 512 * 1024**2
    open_files: int = 256


def confine(limits: Limits, *, readable: Iterable[Path], writable: Path) -> dict[str, str]:
    """Confine this process, which must have one thread; answers what holds.

    A fork happens on the way: the caller continues in the child, and the parent ends with it.

    Parameters
    ----------
    readable
        Files and folders it may read, beside the system's libraries and Python's.
    writable
        The one folder it may write to.
    """
    _set(_PR_SET_NO_NEW_PRIVS, 1)
    _set(_PR_SET_PDEATHSIG, signal.SIGKILL)
    held = {"no_new_privileges": "yes", **_own_namespaces()}
    _continue_in_child()
    _set(_PR_SET_DUMPABLE, 0)
    for kind, value in (
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (lowered, lowered))
    held["memory_limit_MB"] = str(limits.memory_bytes // 10**6)
    held["cpu_seconds_limit"] = str(limits.cpu_seconds)
    held["file_size_limit_MB"] = str(limits.file_bytes // 10**6)
    version = _fence_files(readable, writable)
    held["landlock"] = (
        f"version {version}: reads libraries and the model, writes one folder, runs no program"
        if version
        else "missing"
    )
    if version >= 4:
        held["landlock"] += ", no TCP"
    return held


def _own_namespaces() -> dict[str, str]:
    """Become nobody in a user namespace of one's own, without network and without other processes."""
    user, group = os.getuid(), os.getgid()
    wanted = _CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWPID
    if _libc.unshare(wanted) != 0:
        reason = f"missing ({os.strerror(ctypes.get_errno())})"
        return dict.fromkeys(("user_namespace", "network_namespace", "process_namespace"), reason)
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{_NOBODY} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{_NOBODY} {group} 1")
    except OSError:
        # Unmapped it is nobody all the same; only the names of owners look strange from inside.
        return {"user_namespace": "yes, unmapped", "network_namespace": "yes", "process_namespace": "yes"}
    return {"user_namespace": "yes", "network_namespace": "yes, empty", "process_namespace": "yes"}


def _continue_in_child() -> None:
    """The namespace of processes begins with the next child; with its end all in it ends."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    _set(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _fence_files(readable: Iterable[Path], writable: Path) -> int:
    """Landlock (https://docs.kernel.org/userspace-api/landlock.html); answers its version, or 0."""
    version = int(_libc.syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION))
    if version < 1:
        return 0
    every_file_right = (1 << _FS_BITS.get(version, 16)) - 1
    rules = struct.pack("=Q", every_file_right)
    if version >= 4:
        rules += struct.pack("=Q", 0b11)  # bind and connect by TCP
    if version >= 6:
        rules += struct.pack("=Q", 0b11)  # abstract sockets and signals to the outside
    ruleset = int(_libc.syscall(_LANDLOCK_CREATE, rules, len(rules), 0))
    if ruleset < 0:
        return 0
    try:
        for path in (*_libraries(), *readable):
            _allow(ruleset, path, _FS_READ_FILE | _FS_READ_DIR)
        # Every right in its own folder but to run something (bit 0) or to make devices (bits 6, 11).
        _allow(ruleset, writable, every_file_right & ~(1 | 1 << 6 | 1 << 11))
        return version if _libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= _FS_READ_FILE | 1 << 1
        rule = struct.pack("=Qi", rights, handle)
        if _libc.syscall(_LANDLOCK_ADD, ruleset, _LANDLOCK_PATH_BENEATH, rule, 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    finally:
        os.close(handle)


def _libraries() -> list[Path]:
    """What Python and the model packages read: the installation, our sources, the system's libraries."""
    names = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()}
    system = (
        "/usr",
        "/lib",
        "/lib64",
        "/etc/ld.so.cache",
        "/etc/localtime",
        "/etc/passwd",
        "/proc",
        "/sys",
        "/dev/null",
        "/dev/urandom",
    )
    sources = Path(__file__).parents[3]
    ours = (sources / "mof_benchmark", sources / "mofsim_settings.py")
    return [*(Path(name) for name in (*sorted(names), *system)), *ours]


def _set(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
