"""State of calls: one interface, SQLite and Redis behind it."""
