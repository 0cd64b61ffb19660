"""Supervisor's own keeper: `python -m deployments.stack.keeper`, one of the parts.

Supervisor restarts any part that dies. When Supervisor itself dies its parts live on without it;
this part notices, ends them and starts Supervisor anew, which starts them all. Tasks that ran go
back to their places in the queue, as after any crash.
"""

from __future__ import annotations

import os
import select


def main() -> None:
    watched = os.pidfd_open(os.getppid())
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    poll.poll()
    # Only now, so that a waiting keeper stays small.
    from deployments.stack.lifecycle import restart_supervisor

    restart_supervisor()


if __name__ == "__main__":
    main()
