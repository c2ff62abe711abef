"""Ears of kept parts: Silero VAD, rules on words and expectation, a recogniser in a process of its own."""
