"""The configuration survives its way to a process."""

from __future__ import annotations

import json
from dataclasses import replace

from agent.config import Config, WebhookEndpoint, WebhooksConfig
from agent.config_wire import from_wire, to_wire
from agent.scheduler.floor.profile import FloorProfile


def test_configuration_comes_back_equal_with_secrets_and_nested_tuples() -> None:
    endpoint = WebhookEndpoint(name="a", url="https://a.example", secret="whsec_x", events=("call.ended",))
    before = replace(Config(), webhooks=WebhooksConfig(secret="whsec_y", endpoints=(endpoint,)))
    before = replace(before, agent=replace(before.agent, floor=FloorProfile(silence_limits_ms=(1000, 2000))))
    assert from_wire(Config, json.loads(json.dumps(to_wire(before)))) == before
