"""Simulations of metal-organic frameworks with universal machine-learning potentials.

The protocol is that of MOFSimBench (Kraß, Huang, Moosavi, npj Comput. Mater. 2025,
doi 10.1038/s41524-025-01872-3). Plain functions on ASE objects; no service needed.
"""
