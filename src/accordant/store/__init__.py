"""SQL lives here and in `views` only: tables, migrations and the ports' implementations, on SQLite and PostgreSQL."""
