"""`python -m api_gateway.keys create|list|revoke`: API keys, on the database itself."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from api_gateway.audit import record
from api_gateway.auth.credentials import Scope
from api_gateway.database import Database
from api_gateway.keys import repository
from mof_benchmark.errors import MofsimError
from mofsim_settings import load_settings

_RATE = re.compile(r"(\d+)(?:/(s|sec|second|min|minute|h|hour))?")
_PER_MINUTE = {"s": 60.0, "sec": 60.0, "second": 60.0, "h": 1 / 60, "hour": 1 / 60}
_AGE = re.compile(r"(\d+)([mhdwy])")
_HOURS = {"m": 1 / 60, "h": 1, "d": 24, "w": 168, "y": 8766}


def rate(text: str) -> int:
    """`600/min` (also `10/s`, `5000/h`) as requests a minute."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate such as 600/min")
    per_minute = round(int(match[1]) * _PER_MINUTE.get(match[2] or "min", 1.0))
    if per_minute < 1:
        raise argparse.ArgumentTypeError("the smallest rate is 1/min")
    return per_minute


def expiry(text: str) -> datetime:
    """`90d` (also m, h, w, y) from now, or an ISO 8601 time."""
    match = _AGE.fullmatch(text)
    if match is not None:
        return datetime.now(UTC) + timedelta(hours=int(match[1]) * _HOURS[match[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither an age such as 90d nor a time") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def scopes(text: str) -> list[Scope]:
    """`read,write` as scopes."""
    try:
        return [Scope(name.strip()) for name in text.split(",")]
    except ValueError:
        names = ", ".join(Scope)
        raise argparse.ArgumentTypeError(f"{text!r}: the scopes are {names}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m api_gateway.keys", description=__doc__)
    parser.add_argument("--home", help="home folder of the stack; default: MOFSIM_HOME")
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make a key and show it, once")
    create.add_argument("name")
    create.add_argument("--scope", type=scopes, default=[Scope.READ, Scope.WRITE], help="read,write,admin")
    create.add_argument("--rate", type=rate, help="such as 600/min; default: as configured")
    create.add_argument("--expires", type=expiry, help="such as 90d, or a time; default: never")
    actions.add_parser("list", help="show every key, as JSON lines; never its secret")
    revoke = actions.add_parser("revoke", help="revoke a key at once")
    revoke.add_argument("name")
    return parser


async def _run(arguments: argparse.Namespace) -> int:
    database = Database.from_settings(load_settings(arguments.home))
    try:
        async with database.begin() as session:
            if arguments.action == "create":
                made = await repository.create(
                    session,
                    arguments.name,
                    arguments.scope,
                    rate_per_minute=arguments.rate,
                    expires_at=arguments.expires,
                )
                scopes = [scope.value for scope in arguments.scope]
                record(session, None, "key.create", arguments.name, scopes=scopes)
                print(made)
            elif arguments.action == "revoke":
                if not await repository.revoke(session, arguments.name):
                    print(f"no key named {arguments.name!r} is in use", file=sys.stderr)
                    return 1
                record(session, None, "key.revoke", arguments.name)
            else:
                for key in await repository.every(session):
                    print(json.dumps(repository.describe(key)))
    except MofsimError as error:
        print(error.detail, file=sys.stderr)
        return 1
    finally:
        await database.close()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return asyncio.run(_run(_parser().parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
