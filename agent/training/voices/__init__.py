"""Voices of simulated callers and agents: synthesisers of several kinds, human clips, and ways to vary them."""
