"""Sensors of simulated GPUs, set over REST: there only with `compute.simulated`."""
