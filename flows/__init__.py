"""The six calculations as Prefect flows; each reads like its row in the protocol table."""
