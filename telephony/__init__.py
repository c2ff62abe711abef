"""Bytes to legs and 16-bit audio. Knows no model, no store and no customer; never imports ``agent``."""
