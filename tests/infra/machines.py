"""Machines of a network of their own: namespaces for network, processes and host name, joined by a bridge.

A process in one sees the other machines by address only, and what is cut off is cut off. Files are those
of this machine, as a shared storage would be.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

NEEDED = ("ip", "unshare", "nsenter", "openssl", "setpriv")
ALONE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--uts", "--pid", "--fork")
ALONE += ("--kill-child=KILL", "--mount-proc")
"""Words before a machine's first process: with the test's end it ends, and all others of its with it."""
REAPER = """
import os, time
while True:
    try:
        os.wait()
    except ChildProcessError:
        time.sleep(0.2)
"""
"""The first process of a machine: it inherits orphans, as an init does."""
_numbers = itertools.count(1)


def missing() -> str | None:
    """Why there can be no such machines here; None: there can."""
    programs = [name for name in NEEDED if shutil.which(name) is None]
    if programs:
        return f"{', '.join(programs)}: not installed"
    words = (*ALONE, "ip", "link", "add", "type", "veth")
    tried = subprocess.run(words, capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"namespaces are not permitted: {tried.stderr.strip()}"


@dataclass
class Machine:
    """One machine: its address, and a way to run programs on it."""

    name: str
    address: str
    link: str
    """The bridge's end of its cable."""
    folder: Path
    pid: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        inside = ("nsenter", "--target", str(self.pid), "--net", "--uts", "--pid", "--mount", "--")
        return [*inside, *words]

    def start(self, name: str, *words: str, environment: Mapping[str, str], cwd: Path) -> None:
        """Start a program in the background, its output in a file."""
        with (self.folder / f"{name}.out").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                self.command(*words), stdout=output, stderr=output, env=dict(environment), cwd=cwd
            )

    def run(self, *words: str, environment: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            env=dict(environment),
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def ended(self) -> list[str]:
        """Programs that should still run."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def output(self) -> str:
        """The last words of all its programs."""
        files = sorted(self.folder.glob("*.out"))
        return "\n".join(f"==> {self.name} {file.name}\n{file.read_text()[-3000:]}" for file in files)


@dataclass
class Network:
    """A bridge that also reaches the test itself."""

    bridge: str
    prefix: str
    folder: Path
    machines: list[Machine] = field(default_factory=list)

    def add(self, name: str) -> Machine:
        number = len(self.machines) + 2
        folder = self.folder / name
        folder.mkdir()
        near, far = f"{self.bridge}p{number}", f"{self.bridge}e{number}"
        init = subprocess.Popen([*ALONE, sys.executable, "-I", "-c", REAPER])
        machine = Machine(name, f"{self.prefix}.{number}", near, folder, _child_of(init.pid))
        machine.processes["init"] = init
        self.machines.append(machine)
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", str(machine.pid))
        _ip("link", "set", near, "master", self.bridge, "up")
        for words in (
            ("hostname", name),
            ("ip", "link", "set", "lo", "up"),
            ("ip", "address", "add", f"{machine.address}/24", "dev", far),
            ("ip", "link", "set", far, "up"),
        ):
            subprocess.run(machine.command(*words), check=True)
        return machine

    def cut_off(self, machine: Machine) -> None:
        _ip("link", "set", machine.link, "down")

    def mend(self, machine: Machine) -> None:
        _ip("link", "set", machine.link, "up")

    def output(self) -> str:
        return "\n".join(machine.output() for machine in self.machines)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A network without machines; all that are added are gone after the block."""
    number = os.getpid() * 7 + next(_numbers)
    bridge = f"mf{number % 100_000}"
    # One that is seldom used, so that the bridge hides nothing this machine needs.
    prefix = f"10.{200 + number % 50}.{number // 50 % 250}"
    folder = Path(tempfile.mkdtemp(prefix="mofsim-machines-"))
    folder.chmod(0o755)
    made = Network(bridge, prefix, folder)
    _ip("link", "add", bridge, "type", "bridge")
    try:
        _ip("address", "add", f"{prefix}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        yield made
    finally:
        for machine in made.machines:
            # With its first process all others of a machine end.
            machine.processes["init"].kill()
            for process in machine.processes.values():
                process.wait()
            # Connections that linger keep the namespace, and with it the cable, for a while; else it is gone.
            subprocess.run(["ip", "link", "delete", machine.link], check=False, capture_output=True)
        _ip("link", "delete", bridge)
        shutil.rmtree(folder, ignore_errors=True)


def _child_of(pid: int) -> int:
    parent = psutil.Process(pid)
    deadline = time.monotonic() + 30
    while not (children := parent.children()):
        assert time.monotonic() < deadline, "unshare made no process"
        time.sleep(0.01)
    return children[0].pid


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
