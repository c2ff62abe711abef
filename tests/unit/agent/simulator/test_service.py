from __future__ import annotations

from typing import Any

import pytest

from agent.simulator.service import fetch_ears, fetch_json, find_call, media_offset_s


def utterance(at_s: float) -> dict[str, Any]:
    return {"at_ms": round(at_s * 1000), "kind": "utterance", "data": {"phase": "started"}}


def test_clocks_are_aligned_by_what_most_utterances_agree_on() -> None:
    entries = [utterance(1.7), utterance(8.05), utterance(12.7), utterance(21.5), {"at_ms": 1, "kind": "floor"}]
    onsets = [0.1, 11.1, 13.0, 19.9]  # the second utterance followed the first without a pause
    assert media_offset_s(entries, onsets) == pytest.approx(-1.6, abs=0.03)


def test_without_agreement_the_clocks_are_taken_as_one() -> None:
    assert media_offset_s([], [1.0]) == 0.0
    assert media_offset_s([utterance(1.0)], []) == 0.0
    assert media_offset_s([utterance(1.0)], [1.02]) == pytest.approx(0.02)


async def test_a_service_that_is_not_there_has_nothing_to_say() -> None:
    assert await fetch_json("http://127.0.0.1:9/healthz") is None
    assert await find_call("http://127.0.0.1:9", "caller-1") == ""
    assert await fetch_ears("http://127.0.0.1:9") == await fetch_ears("") == ""


@pytest.mark.parametrize(
    ("ears", "told"),
    [
        ({"model": "small", "recogniser": "words"}, "small, words by words"),
        (
            {"model": "parts", "instead_of": "small", "why": "no weights", "recogniser": "pocketsphinx"},
            "parts instead of small (no weights), words by pocketsphinx",
        ),
    ],
)
async def test_ears_are_told_as_the_service_tells_them(
    ears: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def health(url: str, key: str = "") -> dict[str, Any]:
        return {"ears": ears}

    monkeypatch.setattr("agent.simulator.service.fetch_json", health)
    assert await fetch_ears("http://service") == told
