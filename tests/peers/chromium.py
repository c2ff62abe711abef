"""A headless Chromium for tests: ``agent.bench.chromium``."""

from __future__ import annotations

from agent.bench.chromium import RAW_MICROPHONE, Page, browser, write_microphone

__all__ = ["RAW_MICROPHONE", "Page", "browser", "write_microphone"]
