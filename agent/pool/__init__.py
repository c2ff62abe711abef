"""Seats on workers: the control channel between a front and a worker, placement, the worker process."""
