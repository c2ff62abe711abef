"""Transcripts of recordings after the call, by a model that is too slow for the call itself."""
