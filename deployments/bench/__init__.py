"""Measurements, one module each: `./mofsim bench NAME` prints a table and writes JSON."""
