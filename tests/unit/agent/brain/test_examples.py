from __future__ import annotations

import pytest

from agent.brain.examples import example_path
from agent.errors import ConfigError
from tests.unit.agent.brain.talk import parcel_brain


def test_the_parcel_example_is_found_whole() -> None:
    folder = example_path("parcel")
    assert {path.name for path in folder.iterdir()} >= {"parcel.yaml", "backend.py", "README.md"}


def test_an_unknown_example_is_refused_with_the_known_names() -> None:
    with pytest.raises(ConfigError, match="there are: parcel"):
        example_path("pizza")


def test_fixed_phrases_can_be_rendered_ahead_of_time() -> None:
    phrases = parcel_brain().fixed_phrases()
    assert "How can I help you?" in phrases
    assert not any("{" in phrase for phrase in phrases)
