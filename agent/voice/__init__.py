"""Voices: text in, 8 kHz audio with word times out, each in a process of its own."""
