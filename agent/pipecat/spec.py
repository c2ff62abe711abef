"""Which Pipecat service a part is, and with what. Pure; travels to the part's process as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Part = Literal["voice", "recogniser", "brain"]
PARTS: Final[tuple[Part, ...]] = ("voice", "recogniser", "brain")
RATES_HZ: Final = (8000, 16000, 24000, 48000)
HIDDEN: Final = "********"
SECRET_NAME: Final = re.compile("key|token|secret|password|credential", re.IGNORECASE)
"""An argument of such a name is hidden too, though it should have come from the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSpec:
    """One part as the agent's YAML names it."""

    part: Part
    service: str
    """Dotted path of the class: ``pipecat.services.openai.tts.OpenAITTSService``."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of the class's own ``Settings``."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Other arguments of its constructor."""
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """Arguments whose values came from the environment; never shown."""
    secret_names: dict[str, str] = field(default_factory=dict)
    """Argument to the variable that holds it, for messages."""
    rate_hz: int
    """Of the audio that the service is given or gives."""
    processes: int = 1

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> PartSpec:
        return cls(**json.loads(text))

    def hide(self, text: str) -> str:
        """``text`` (of somebody else's error) in one line, without the secrets, no longer than a log line should be."""
        telling = (str(value) for name, value in self.arguments.items() if SECRET_NAME.search(name))
        for secret in (*self.secrets.values(), *telling):
            if secret:
                text = text.replace(secret, HIDDEN)
        return " ".join(text.split())[:300]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an agent's YAML names; ``None``: our own."""

    voice: PartSpec | None = None
    recogniser: PartSpec | None = None
    brain: PartSpec | None = None
    prompt: str = ""
    """Of the brain; empty: that of ``agent.chat.prompt``."""
    greeting: str | None = None
    """``None``: that of ``agent.chat.greeting``."""
    file: str = ""

    def named(self) -> list[PartSpec]:
        return [spec for spec in (self.voice, self.recogniser, self.brain) if spec is not None]
