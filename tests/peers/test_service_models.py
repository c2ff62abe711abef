"""A whole service with a voice and a recogniser that were pulled, named by their names."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from agent.app import start_service
from agent.pull.command import Order, pull
from agent.pull.store import ModelFolder
from agent.voice.phonemes import data_folder
from tests.peers.service_kit import health, log_text, until
from tests.unit.agent.model.parts.tiny_sherpa import tiny_sherpa
from tests.unit.agent.voice.tiny_models import tiny_kokoro

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.skipif(
        data_folder() is None or find_spec("sherpa_onnx") is None, reason="the extras kokoro and sherpa are missing"
    ),
]


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, object]:
    folder = ModelFolder(tmp_path / "models")
    for name, source in (("ears", tiny_sherpa(tmp_path / "s")), ("voice", tiny_kokoro(tmp_path / "k"))):
        pull(Order(name=name, source=source, accepted=True, quiet=True), folder)
    return {
        "models.folder": str(folder.folder),
        "ears.recogniser": "sherpa",
        "ears.sherpa_model": "ears",
        "voice.engine": "kokoro",
        "voice.model": "voice",
        "engine.spare": 0,
    }


async def test_pulled_models_listen_and_speak(settings: dict[str, object]) -> None:
    async with start_service(settings) as service:

        async def are_live() -> bool:
            (worker,) = (await health(service))["workers"]
            return bool(worker.get("recognisers", {}).get("live") == 1)

        await until(are_live, 20.0)
        found = await health(service)
        assert found["voice"]["name"] == "kokoro:af_heart"
        assert found["ears"]["recogniser"] == "sherpa"
        assert "Traceback" not in log_text(service)
