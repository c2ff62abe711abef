"""Brains decide what to say and when to ask a tool. They never see audio."""
