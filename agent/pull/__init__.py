"""``crosstalk pull``: models that a user asks for, pinned and checked, with their licences shown and accepted."""
