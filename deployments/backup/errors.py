"""What can go wrong with backups, for people to read."""


class BackupError(Exception):
    """A backup could not be made, read or brought back; the message says what to do."""
