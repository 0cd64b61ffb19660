"""The engine: places queued tasks on GPUs, follows their runs, and heals what went wrong."""
