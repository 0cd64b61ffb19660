"""`mofsim top`: the service on one screen of a terminal (needs the extra `top`)."""

from mofsim_client.top._app import Top
from mofsim_client.top._picture import Picture

__all__ = ["Picture", "Top"]
