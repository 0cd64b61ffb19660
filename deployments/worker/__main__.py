"""`python -m deployments.worker`: the pool worker of this machine."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor, wait

from deployments.environment import prepare_environment, wait_for_settings
from mofsim_logs import log_to_files


def main() -> None:
    settings = wait_for_settings()
    log_to_files(settings.log_dir)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    prepare_environment(settings)
    # Prefect reads its settings from the environment when it is imported.
    from deployments.worker.service import WorkerService

    stop_asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_asked.set())

    async def serve() -> None:
        service = WorkerService(settings)
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=lambda: (stop_asked.wait(), loop.call_soon_threadsafe(service.stop)), daemon=True
        ).start()
        await service.serve()

    # Not in the main thread: only there would each flow engine of Prefect take SIGTERM for itself
    # and crash its run, instead of letting this process drain.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="worker") as thread:
        serving = thread.submit(lambda: asyncio.run(serve()))
        while not wait([serving], timeout=1.0).done:
            # Python handles signals here, in the main thread, between two waits.
            continue
    serving.result()


if __name__ == "__main__":
    main()
