"""How full the storage is, and what the data care would do next."""
