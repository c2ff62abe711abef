"""The how-tos about brains behind servers are run as they are written."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from agent.brain.protocol import CallFacts, Hangup, Say, Tool, ToolResult
from agent.config import Config
from agent.config_load import load_config
from agent.mcp.tools import McpDecisions, McpTools
from agent.parts import open_brain
from agent.remote.chat import ChatBrain
from agent.remote.chat_conversation import ChatConversation
from agent.remote.relay import RelayBrain, RelayConversation
from telephony.clock import MonotonicClock
from tests.unit.agent.call_fakes import FakeDecisions
from tests.unit.agent.remote.llm_server import asking, llm_server, saying
from tests.unit.agent.remote.test_chat import Log, turn

HOWTOS = Path(__file__).resolve().parents[4] / "docs" / "howto"
FACTS = CallFacts(call_id="c", from_uri="sip:a@x", to_uri="sip:b@x", variables={"customer": "Anna"})


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (HOWTOS / page).read_text(), re.DOTALL)


def load(page: str, folder: Path) -> Config:
    path = folder / "crosstalk.toml"
    path.write_text(blocks(page, "toml")[0])
    return load_config(path, {}, {}).config


async def test_chat_brain_of_the_howto_stores_a_reading(tmp_path: Path) -> None:
    (prompt,), (tools,) = blocks("chat-brain.md", "text"), blocks("chat-brain.md", "yaml")
    (tmp_path / "prompt.txt").write_text(prompt)
    (tmp_path / "tools.yaml").write_text(tools)
    config = load("chat-brain.md", tmp_path)
    async with llm_server(asking("store_reading", '{"digits": "12345"}'), saying("It is noted.")) as server:
        files = {"prompt": str(tmp_path / "prompt.txt"), "tools": str(tmp_path / "tools.yaml")}
        chat = replace(config.agent.chat, url=server.url, **files)
        brain = cast("ChatBrain", open_brain(replace(config, agent=replace(config.agent, chat=chat))))
        async with brain:
            talk = cast("ChatConversation", brain.open(FACTS))
            says = [action async for action in talk.opening() if isinstance(action, Say)]
            assert says[0].text.endswith("City Water.")
            actions = [action async for action in talk.turn(turn("one two three four five"))]
            tool = next(action for action in actions if isinstance(action, Tool))
            assert (tool.name, tool.filler) == ("store_reading", "I am writing that down.")
            result = ToolResult(request_id=tool.request_id, ok=True, value={})
            assert Say(text="It is noted.") in [action async for action in talk.tool_result(result)]
        assert "The caller is Anna." in server.requests[0]["messages"][0]["content"]
        names = [tool["function"]["name"] for tool in server.requests[0]["tools"]]
        assert names == ["store_reading", "end_call", "transfer_call"]


async def test_relay_server_of_the_howto_answers_and_ends_the_call(tmp_path: Path) -> None:
    config = load("relay-brain.md", tmp_path)
    program: dict[str, Any] = {"__name__": "relay"}
    exec(compile(blocks("relay-brain.md", "python")[0], "relay.py", "exec"), program)
    runner = web.AppRunner(program["app"](), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    relay = replace(config.agent.relay, url=f"ws://127.0.0.1:{runner.addresses[0][1]}/relay")
    brain = RelayBrain(relay, disclosure="x", clock=MonotonicClock(), log=cast(Any, Log()))
    async with brain:
        talk = cast("RelayConversation", brain.open(FACTS))
        asked = False
        said: list[str] = []
        talk.turn(turn("what is the time"))
        async for action in talk.unprompted():
            said += [action.text] if isinstance(action, Say) and not action.filler else []
            if said and not asked:
                asked = True
                talk.turn(turn("goodbye"))
            if isinstance(action, Hangup):
                break
        talk.close()
    await runner.cleanup()
    assert said == ["You said: what is the time.", "Goodbye."]


async def test_mcp_program_of_the_howto_is_listed_and_called(tmp_path: Path) -> None:
    config = load("mcp-tools.md", tmp_path)
    program = tmp_path / "parcels.py"
    program.write_text(blocks("mcp-tools.md", "python")[0])
    parcels, crm = config.agent.mcp
    assert crm.tools == ("find_customer", "add_note")
    parcels = replace(parcels, command=(parcels.command[0], str(program)))
    async with McpTools([parcels], environment={"PATH": "/usr/bin:/bin"}, log=cast(Any, Log())) as tools:
        assert [spec.name for spec in tools.specs()] == ["track"]
        decisions = McpDecisions(FakeDecisions(), tools, own=frozenset(), budget_s=2.0)
        assert await decisions.tool("c", "track", {"number": "123"}, "t1") == "Parcel 123 is in Berlin."
