"""`python -m deployments.hosts --gpu I`: the host of one GPU slot."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal

from deployments.environment import prepare_environment, wait_for_settings
from deployments.hosts.devices import device_environment
from mofsim_logs import log_to_files


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deployments.hosts", description=__doc__)
    parser.add_argument("--gpu", type=int, required=True, help="number of the GPU slot")
    gpu_id = parser.parse_args().gpu
    settings = wait_for_settings()
    log_to_files(settings.log_dir, gpu_id=gpu_id)
    prepare_environment(settings)
    environment, nvml_device = device_environment(settings, gpu_id)
    # For the Dask worker, which is born with it: the allocator and CUDA look at nothing later.
    os.environ.update(environment)
    from deployments.hosts.nanny import keep_host

    async def serve() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await keep_host(gpu_id, nvml_device, stopping)

    asyncio.run(serve())


if __name__ == "__main__":
    main()
