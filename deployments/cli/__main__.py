"""`python -m deployments.cli`, which `./mofsim` hands over to."""

from deployments.cli.app import main

main()
