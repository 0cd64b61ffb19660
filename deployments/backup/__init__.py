"""Backups of an installation and the way back.

`snapshots` is the folder they lie in, `create` fills it, `restore` brings a home back from it,
`databases` speaks with PostgreSQL's own tools, `flow` is the same as a scheduled Prefect flow.
"""

from deployments.backup.errors import BackupError

__all__ = ["BackupError"]
