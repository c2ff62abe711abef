"""Pure numpy signal code, rows first."""
