"""`python -m api_gateway.database upgrade`: bring the configured database to the present schema."""

from __future__ import annotations

import argparse

from api_gateway.database import database_url, upgrade
from mofsim_settings import load_settings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m api_gateway.database", description=__doc__)
    parser.add_argument("action", choices=["upgrade"])
    parser.add_argument("--home", help="home folder of the stack; default: MOFSIM_HOME")
    arguments = parser.parse_args()
    upgrade(database_url(load_settings(arguments.home)))


if __name__ == "__main__":
    main()
