"""SQL lives here and in `views` only: tables, migrations and the implementations of the ports, on SQLite and PostgreSQL."""
