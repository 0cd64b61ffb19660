"""The service itself: health, GPUs, queue, configuration, log."""
