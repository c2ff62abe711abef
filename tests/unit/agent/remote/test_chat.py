"""ChatBrain against real HTTP servers on loopback: fast, slow, dying, babbling, broken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from agent.brain.protocol import (
    Action,
    CallFacts,
    Hangup,
    Note,
    RemoteConversation,
    Say,
    Tool,
    ToolResult,
    Transfer,
    Turn,
)
from agent.brain.tool_specs import ToolSpec
from agent.config import ChatConfig
from agent.remote.chat import ChatBrain
from agent.remote.chat_conversation import ChatConversation
from telephony.clock import MonotonicClock
from tests.unit.agent.remote.llm_server import Behaviour, LlmServer, Reply, asking, llm_server, never, saying

TRACK = ToolSpec(name="track", description="Where a parcel is.")
CONFIG = ChatConfig(
    model="m", api_key="sk-very-secret", filler_after_ms=200, first_token_budget_s=0.5, stall_s=0.3, keys_gap_ms=20
)


class Log:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def bind(self, **fields: object) -> Log:
        return self

    def warning(self, event: object, **fields: object) -> None:
        self.lines.append(f"{event} {fields}")

    info = debug = error = warning


class Rig:
    """A conversation with a server of the test."""

    def __init__(self, server: LlmServer, brain: ChatBrain, log: Log) -> None:
        self.server = server
        self.log = log
        facts = CallFacts(call_id="call1", from_uri="sip:a@x", to_uri="sip:b@x", variables={"customer": "Anna"})
        self.talk = cast("ChatConversation", brain.open(facts))
        self.turns = 0

    async def say(self, words: str) -> list[Action]:
        self.turns += 1
        return [action async for action in self.talk.turn(turn(words, self.turns))]


def turn(words: str, number: int = 1) -> Turn:
    return Turn(turn=number, words=tuple(words.split()), confidence=0.9)


@asynccontextmanager
async def rig(*behaviours: Behaviour, config: ChatConfig = CONFIG, url: str = "") -> AsyncIterator[Rig]:
    log = Log()
    async with llm_server(*behaviours) as server:
        brain = ChatBrain(
            replace(config, url=url or server.url),
            prompt="You help {customer}.",
            disclosure="You are speaking with a computer.",
            extra={"temperature": 0},
            tools=lambda: [TRACK],
            clock=MonotonicClock(),
            log=cast(Any, log),
        )
        async with brain:
            made = Rig(server, brain, log)
            yield made
            made.talk.close()


def texts(actions: list[Action]) -> list[str]:
    return [action.text for action in actions if isinstance(action, Say)]


def failures(actions: list[Action]) -> list[str]:
    return [action.value for action in actions if isinstance(action, Note) and action.key == "brain_failed"]


async def until(claim: Any) -> None:
    async with asyncio.timeout(2):
        while not claim():
            await asyncio.sleep(0.005)


async def test_it_is_a_remote_conversation_and_discloses_first_without_being_cut() -> None:
    async with rig(saying("hi")) as r:
        assert isinstance(r.talk, RemoteConversation)
        says = [action async for action in r.talk.opening() if isinstance(action, Say)]
        assert says[0] == Say(text="You are speaking with a computer.", interruptible=False)
        assert says[1].interruptible


async def test_request_holds_prompt_model_tools_and_the_callers_words() -> None:
    async with rig(saying("Hello Anna.")) as r:
        assert texts(await r.say("who am i")) == ["Hello Anna."]
        body = r.server.requests[0]
        assert body["model"] == "m"
        assert body["stream"] is True
        assert body["temperature"] == 0
        assert body["messages"][0]["content"].startswith("You help Anna.")
        assert r.server.histories[0] == [{"role": "user", "content": "who am i"}]
        assert [tool["function"]["name"] for tool in body["tools"]] == ["track", "end_call"]
        assert r.server.headers[0]["Authorization"] == "Bearer sk-very-secret"


async def test_first_clause_is_given_before_the_rest_is_generated() -> None:
    go_on = asyncio.Event()

    async def behave(reply: Reply) -> None:
        await reply.text("Your parcel ", "is here, ")
        await go_on.wait()
        await reply.text("and it ", "waits for you. ", "Come today.")
        await reply.done()

    async with rig(behave) as r:
        answer = r.talk.turn(turn("where is it"))
        assert isinstance(await anext(answer), Note)
        assert await anext(answer) == Say(text="Your parcel is here,")
        go_on.set()
        assert texts([action async for action in answer]) == ["and it waits for you.", "Come today."]


async def test_history_holds_what_was_heard_and_nothing_else() -> None:
    async with rig(saying("The first sentence is short. The second one was never heard. Nor this one.")) as r:
        async for _ in r.talk.opening():
            pass
        r.talk.heard("You are speaking with a computer.", complete=True)
        await r.say("tell me")
        r.talk.heard("The first sentence is short.", complete=True)
        r.talk.interrupted("The second", "one was never heard. Nor this one.")
        await r.say("stop that")
        assert r.server.histories[1] == [
            {"role": "assistant", "content": "You are speaking with a computer."},
            {"role": "user", "content": "tell me"},
            {"role": "assistant", "content": "The first sentence is short. The second"},
            {"role": "user", "content": "stop that"},
        ]


async def test_resumed_answer_says_the_unheard_rest_and_what_is_still_to_come() -> None:
    go_on = asyncio.Event()

    async def behave(reply: Reply) -> None:
        await reply.text("One is said. Two is cut. ")
        await go_on.wait()
        await reply.text("Three comes later.")
        await reply.done()

    async with rig(behave, config=replace(CONFIG, stall_s=2.0)) as r:
        answer = r.talk.turn(turn("count"))
        given = [await anext(answer) for _ in range(3)]
        assert texts(given) == ["One is said.", "Two is cut."]
        await answer.aclose()
        r.talk.heard("One is said.", complete=True)
        r.talk.interrupted("Two", "is cut.")
        r.talk.partial(turn("mhm"))
        go_on.set()
        assert texts([action async for action in r.talk.go_on()]) == ["Two is cut.", "Three comes later."]
        r.talk.heard("Two is cut.", complete=True)
        await r.say("and then")
        assert r.server.histories[1][1] == {"role": "assistant", "content": "One is said. Two Two is cut."}


async def test_stream_is_closed_when_the_caller_speaks_on() -> None:
    async def babble(reply: Reply) -> None:
        while True:
            await reply.text("blah ")
            await asyncio.sleep(0.01)

    async with rig(babble, saying("Fine.")) as r:
        answer = r.talk.turn(turn("one"))
        closing = asyncio.ensure_future(_take(answer))
        await until(lambda: r.server.requests)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        assert r.server.hung_up == 0
        r.talk.interrupted("", "blah")
        r.talk.partial(turn("no wait"))
        await until(lambda: r.server.hung_up == 1)
        assert texts(await r.say("two")) == ["Fine."]


async def _take(answer: Any) -> list[Action]:
    return [action async for action in answer]


async def test_early_request_is_used_when_the_turn_ends_with_the_same_words() -> None:
    async with rig(saying("Early bird.")) as r:
        assert texts(await _take(r.talk.prepare(turn("same words")))) == ["Early bird."]
        assert texts(await r.say("same words")) == ["Early bird."]
        assert len(r.server.requests) == 1
        assert r.server.histories[0] == [{"role": "user", "content": "same words"}]


async def test_early_request_is_cancelled_when_the_words_change_or_the_turn_goes_on() -> None:
    async with rig(never, never, saying("Late.")) as r:
        first = asyncio.ensure_future(_take(r.talk.prepare(turn("some"))))
        await until(lambda: len(r.server.requests) == 1)
        second = asyncio.ensure_future(_take(r.talk.prepare(turn("some words"))))
        await until(lambda: r.server.hung_up == 1 and len(r.server.requests) == 2)
        r.talk.forget_prepared()
        await until(lambda: r.server.hung_up == 2)
        for task in (first, second):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert texts(await r.say("some words more")) == ["Late."]


async def test_reopened_turn_is_told_once_with_all_its_words() -> None:
    async with rig(saying("Yes?")) as r:
        await r.say("i want")
        r.talk.reopened(1)
        await _take(r.talk.turn(turn("i want to know", 1)))
        assert r.server.histories[1] == [{"role": "user", "content": "i want to know"}]


async def test_slow_endpoint_gets_a_filler_first_and_then_its_answer() -> None:
    async def slow(reply: Reply) -> None:
        await asyncio.sleep(0.3)
        await saying("Here it is.")(reply)

    async with rig(slow) as r:
        actions = await r.say("hello")
        assert actions[0] == Say(text=CONFIG.filler, filler=True)
        assert texts(actions) == [CONFIG.filler, "Here it is."]


async def test_endpoint_that_never_answers_gets_a_filler_and_a_fallback_in_time() -> None:
    async with rig(never) as r:
        started = asyncio.get_running_loop().time()
        actions = await r.say("hello")
        assert texts(actions) == [CONFIG.filler, CONFIG.fallback]
        assert failures(actions) == ["timeout"]
        assert asyncio.get_running_loop().time() - started < 1.5
        await until(lambda: r.server.hung_up == 1)


async def test_connection_error_before_the_first_token_is_tried_again() -> None:
    async def drop(reply: Reply) -> None:
        await reply.die()

    async def busy(reply: Reply) -> None:
        reply.response.set_status(503)
        await reply.raw(b"wait")

    async with rig(drop, busy, saying("Third time.")) as r:
        assert "Third time." in texts(await r.say("hello"))
        assert len(r.server.requests) == 3


async def test_death_in_mid_stream_is_not_tried_again_and_ends_in_a_fallback_behind_whole_clauses() -> None:
    async def dying(reply: Reply) -> None:
        await reply.text("The first part is whole. The second is n")
        await reply.die()

    async with rig(dying) as r:
        actions = await r.say("hello")
        assert texts(actions) == ["The first part is whole.", CONFIG.fallback]
        assert failures(actions) == ["connection"]
        assert len(r.server.requests) == 1


async def test_stream_that_stops_coming_ends_in_a_fallback() -> None:
    async def stalling(reply: Reply) -> None:
        await reply.text("It begins well. And then ")
        await asyncio.sleep(60)

    async with rig(stalling) as r:
        assert texts(await r.say("hello")) == ["It begins well.", CONFIG.fallback]


async def test_babbling_endpoint_is_ended_behind_a_clause() -> None:
    async def babble(reply: Reply) -> None:
        while True:
            await reply.text("This goes on and on. ")

    async with rig(babble, config=replace(CONFIG, most_words=30)) as r:
        actions = await r.say("hello")
        assert texts(actions) == ["This goes on and on."] * 6
        assert failures(actions) == []
        await until(lambda: r.server.hung_up == 1)


async def test_event_without_an_end_is_refused() -> None:
    async def endless(reply: Reply) -> None:
        while True:
            await reply.raw(b"data: " + b"x" * 50_000)

    async with rig(endless) as r:
        assert failures(await r.say("hello")) == ["broken"]


async def test_one_broken_event_is_passed_over_and_many_are_a_failure() -> None:
    async def glitch(reply: Reply) -> None:
        await reply.event(b'{"choices": [{"del')
        await saying("All the same.")(reply)

    async def garbage(reply: Reply) -> None:
        for _ in range(10):
            await reply.event(b"<html>")
        await reply.done()

    async with rig(glitch, garbage) as r:
        assert texts(await r.say("hello")) == ["All the same."]
        assert failures(await r.say("again")) == ["broken"]


@pytest.mark.parametrize(
    "document", [b"[]", b"null", b'{"choices": 5}', b'{"choices": [null]}', b'{"choices":[{"delta":7}]}']
)
async def test_answer_of_odd_shapes_is_a_failure_and_no_traceback(document: bytes) -> None:
    async def odd(reply: Reply) -> None:
        await reply.event(document)
        await reply.done()

    async with rig(odd) as r:
        assert failures(await r.say("hello")) == ["empty"]


async def test_refusal_is_logged_without_the_key_and_gives_up_when_it_goes_on() -> None:
    async def refuse(reply: Reply) -> None:
        reply.response.set_status(401)
        await reply.raw(b'{"error": "bad key"}')

    async with rig(refuse, config=replace(CONFIG, most_failures=2, give_up_target="sip:200@127.0.0.1")) as r:
        assert texts(await r.say("hello")) == [CONFIG.fallback]
        actions = await r.say("hello")
        assert texts(actions) == [CONFIG.give_up]
        assert actions[-1] == Transfer(target="sip:200@127.0.0.1")
        assert "status_401" in r.log.lines[0]
        assert "very-secret" not in " ".join(r.log.lines)
        assert len(r.server.requests) == 2
    assert "very-secret" not in repr(CONFIG)


async def test_server_that_is_not_there_is_a_failure_of_this_answer_only() -> None:
    async with rig(saying("x"), url="http://127.0.0.1:9/v1") as r:
        assert failures(await r.say("hello")) == ["connection"]


async def test_tool_call_split_over_deltas_is_asked_and_its_result_is_told() -> None:
    async with rig(asking("track", '{"number": "123456"}', text="Let me look. "), saying("It is here.")) as r:
        actions = await r.say("where is it")
        assert texts(actions) == ["Let me look."]
        tool = next(action for action in actions if isinstance(action, Tool))
        assert (tool.name, tool.arguments) == ("track", {"number": "123456"})
        result = ToolResult(request_id=tool.request_id, ok=True, value={"place": "Berlin"})
        assert texts(await _take(r.talk.tool_result(result))) == ["It is here."]
        _, assistant, told = r.server.histories[1]
        assert assistant["content"] == "Let me look."  # on its way: the answer is said behind it
        assert assistant["tool_calls"][0]["function"] == {"name": "track", "arguments": '{"number": "123456"}'}
        assert told == {"role": "tool", "tool_call_id": "c1", "content": '{"place": "Berlin"}'}


async def test_result_that_comes_after_the_caller_spoke_on_is_neither_lost_nor_asked_again() -> None:
    async with rig(asking("track", "{}"), saying("Still looking."), saying("Found it.")) as r:
        tool = next(action for action in await r.say("where is it") if isinstance(action, Tool))
        assert texts(await r.say("are you there")) == ["Still looking."]
        assert r.server.histories[1][2]["content"] == "The result has not come yet."
        r.talk.heard("Still looking.", complete=True)
        result = ToolResult(request_id=tool.request_id, ok=True, value="")
        assert texts(await _take(r.talk.tool_result(result))) == ["Found it."]
        assert r.server.histories[2][2]["content"] == "(nothing)"
        assert r.server.histories[2][-1]["role"] == "user"


async def test_failed_tool_reaches_the_model_as_text() -> None:
    async with rig(asking("track", "{}"), saying("It did not work.")) as r:
        tool = next(action for action in await r.say("where") if isinstance(action, Tool))
        await _take(r.talk.tool_result(ToolResult(request_id=tool.request_id, ok=False, value="no such parcel")))
        assert r.server.histories[1][2]["content"] == "Error: no such parcel"


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (asking("nonsense", "{}"), "Error: there is no tool nonsense"),
        (asking("track", '{"number": '), "Error: the arguments are not valid JSON"),
        (asking("track", "[1]"), "Error: the arguments are not a JSON object"),
    ],
)
async def test_impossible_tool_call_is_told_to_the_model_at_once(behaviour: Behaviour, told: str) -> None:
    async with rig(behaviour, saying("Sorry.")) as r:
        assert texts(await r.say("hello")) == ["Sorry."]
        assert r.server.histories[1][2]["content"] == told
        json.loads(r.server.histories[1][1]["tool_calls"][0]["function"]["arguments"])


async def test_model_that_only_ever_asks_impossible_tools_is_stopped() -> None:
    async with rig(asking("nonsense", "{}")) as r:
        assert failures(await r.say("hello")) == ["endless"]
        assert len(r.server.requests) == 6


async def test_model_ends_and_transfers_the_call() -> None:
    config = replace(CONFIG, transfers=("billing=sip:300@127.0.0.1",))
    async with rig(
        asking("end_call", "{}", text="Goodbye. "), asking("transfer_call", '{"target": "billing"}'), config=config
    ) as r:
        actions = await r.say("bye")
        assert texts(actions) == ["Goodbye."]
        assert actions[-1] == Hangup(reason="end_call")
        assert (await r.say("billing"))[-1] == Transfer(target="sip:300@127.0.0.1")


async def test_keys_are_told_together() -> None:
    async with rig(saying("Thank you.")) as r:
        first = asyncio.ensure_future(_take(r.talk.dtmf("1")))
        await asyncio.sleep(0)
        first.cancel()
        assert texts(await _take(r.talk.dtmf("2"))) == ["Thank you."]
        await asyncio.gather(first, return_exceptions=True)
        assert r.server.histories[0][0]["content"] == "(The caller pressed 1 2 on the telephone.)"


async def test_turn_without_words_is_asked_again_without_a_request() -> None:
    async with rig(saying("x")) as r:
        assert texts(await r.say("")) == [CONFIG.not_understood]
        assert r.server.requests == []


async def test_silence_is_asked_about_and_then_ends_the_call_but_not_while_we_keep_the_caller_waiting() -> None:
    async with rig(asking("track", "{}")) as r:
        assert texts(await _take(r.talk.silence(5))) == [CONFIG.still_there]
        assert texts(await _take(r.talk.silence(10))) == [CONFIG.still_there]
        assert await _take(r.talk.silence(15)) == [Hangup(reason="silence")]
        await r.say("where")
        assert await _take(r.talk.silence(5)) == []


async def test_closing_the_call_hangs_up_on_the_endpoint() -> None:
    async with rig(never) as r:
        task = asyncio.ensure_future(_take(r.talk.turn(turn("hello"))))
        await until(lambda: r.server.requests)
        task.cancel()
        r.talk.close()
        await until(lambda: r.server.hung_up == 1)
        await asyncio.gather(task, return_exceptions=True)
