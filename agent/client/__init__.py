"""A small client of the REST API: ``from agent.client import Crosstalk``. Standard library only, blocking, typed."""

from agent.client.client import Crosstalk
from agent.client.http import ApiError
from agent.client.shapes import LiveEvent

__all__ = ["ApiError", "Crosstalk", "LiveEvent"]
