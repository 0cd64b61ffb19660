"""Models: what the registry knows, what is ready here, what is loaded where."""
