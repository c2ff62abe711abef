"""Duplex models: what hears (and, for some, speaks) for all rows in one step."""
