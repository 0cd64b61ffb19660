"""Tasks: submitted, shown, streamed, cancelled, tried again, deleted."""
