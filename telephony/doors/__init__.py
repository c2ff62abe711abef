"""Doors of the stream edge."""
