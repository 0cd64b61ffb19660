"""Alerts: conditions that are watched, events that Prefect's automations decide on, who is told."""
