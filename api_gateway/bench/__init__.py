"""The gateway's half of `./mofsim bench queue`, started as programs: `python -m api_gateway.bench`."""
