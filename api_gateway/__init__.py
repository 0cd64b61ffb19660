"""The gateway: REST, placement, the state follower, webhooks and logs. It never imports torch."""

__version__ = "0.1.0"
