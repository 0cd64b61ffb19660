"""Metrics for Prometheus: counted by this process, and read from the database."""
