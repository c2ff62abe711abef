"""Who may speak: a pure table, its inputs and its timers."""
