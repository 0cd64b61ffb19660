"""API keys: made and revoked on the database itself, by those who may read the home folder."""
