"""The stack's command line: what `./mofsim up`, `down`, `status`, `demo`, … run."""
