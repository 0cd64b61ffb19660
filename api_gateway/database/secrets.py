"""Encryption of secrets that must be used again (webhook secrets), so that no dump shows them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet

from mofsim_settings import Settings


class SecretBox:
    """Authenticated encryption with the home's key.

    Parameters
    ----------
    key
        Fernet key: 32 bytes in URL-safe base64.
    """

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

    @classmethod
    def from_settings(cls, settings: Settings) -> SecretBox:
        """The key of `<home>/secret.key`, made (mode 600) on first use."""
        return cls(_read_or_make(settings.home / "secret.key"))

    def encrypt(self, secret: str) -> bytes:
        return self._fernet.encrypt(secret.encode())

    def decrypt(self, token: bytes) -> str:
        """Raises `cryptography.fernet.InvalidToken` for another key or altered bytes."""
        return self._fernet.decrypt(token).decode()


def _read_or_make(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # Readable by its owner only, and of a name of its own for every thread and process.
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
        try:
            # A link fails when another was first: its key stands and is read below.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            Path(draft).unlink()
    return path.read_bytes()
