"""Keeps what Supervisor cannot: `python -m deployments.stack.keeper`, one of the parts.

Supervisor restarts any part that dies. Parts that hang are ended by the watchdog, for Supervisor to
start again. When Supervisor itself dies its parts live on without it; this part notices, ends them
and starts Supervisor anew, which starts them all. Tasks that ran go back to their places in the
queue, as after any crash.
"""

from __future__ import annotations

import logging
import os
import select
import threading

from deployments.stack.lifecycle import restart_supervisor
from deployments.stack.watchdog import Watchdog
from mofsim_logs import log_to_files
from mofsim_settings import load_settings


def main() -> None:
    watched = os.pidfd_open(os.getppid())
    settings = load_settings()
    log_to_files(settings.log_dir)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    threading.Thread(target=Watchdog(settings).run, daemon=True).start()
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    poll.poll()
    restart_supervisor()


if __name__ == "__main__":
    main()
