"""How fast the REST API answers with a full database: `./mofsim bench api`."""
