"""The command line of the client: `python -m mofsim_client.cli` (needs the extra `cli`)."""

from mofsim_client.cli._app import app, main

__all__ = ["app", "main"]
