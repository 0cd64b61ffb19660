"""Figures of the calculations (matplotlib on the Agg canvas, no global state), as PNG and SVG."""
