"""Benchmarks. Imported by nobody but the command line."""
