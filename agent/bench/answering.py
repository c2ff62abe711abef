"""Whether those who are benched are those who answer."""

from __future__ import annotations

from agent.errors import AgentError
from agent.simulator.service import fetch_json


async def must_answer(http_url: str, system: str) -> None:
    """Raises ``AgentError`` where other ears stand in for those of ``system``."""
    ears = (await fetch_json(f"{http_url}/healthz") or {}).get("ears", {})
    if ears.get("why"):
        raise AgentError(f"{system} cannot serve here: {ears['why']}")
