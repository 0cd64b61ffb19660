"""Models that users upload: looked at here, never read; validated by a machine's worker, then usable."""
