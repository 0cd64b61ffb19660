"""`python -m mofsim_client.cli`."""

from mofsim_client.cli import main

main()
