"""``crosstalk call twilio+ws://host:port/twilio/voice``: a simulated caller whose call comes by Twilio, on one machine.

The part of Twilio that is around the stream: it asks the voice webhook, signed, for TwiML; opens the stream that the
TwiML names, signed; and goes on where the TwiML says when the stream is over.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit, urlunsplit
from xml.etree import ElementTree as ET

import aiohttp

from agent.simulator.caller import CallResult
from agent.simulator.phone import DialFailed, PhoneBook
from agent.simulator.render import Cue, Renderer
from agent.simulator.script import Script
from agent.simulator.stream_line import StreamLine, new_line, stream_result
from agent.simulator.twilio_double import PlaybackBuffer, StreamDouble, StreamFacts, StreamNetwork

SCHEMES = {"twilio+ws": "http", "twilio+wss": "https"}
WEBHOOK_S = 15.0
"""Twilio's own limit for a voice webhook."""
MOST_DOCUMENTS = 8
"""TwiML documents of one call; a loop of redirects ends there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioAccount:
    """What the double needs to be somebody's Twilio."""

    auth_token: str
    account_sid: str = "AC" + "0" * 32
    public_url: str = ""
    """Scheme and host under which the server believes to be reached; empty: as dialled."""


@dataclass(slots=True, kw_only=True)
class TwilioTrace:
    """What happened around the stream."""

    documents: list[str] = field(default_factory=list)
    """TwiML that came."""
    statuses: list[dict[str, str]] = field(default_factory=list)
    streams: list[StreamFacts] = field(default_factory=list)
    buffers: list[PlaybackBuffer] = field(default_factory=list)
    redirected_to: str = ""
    rejected: str = ""
    http_status: int = 0


def is_twilio_uri(uri: str) -> bool:
    return uri.partition("://")[0] in SCHEMES


def sign_request(auth_token: str, url: str, fields: dict[str, str]) -> str:
    """As Twilio's documents say: the URL, then every name and value in the order of the names."""
    text = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()).decode()


class TwilioCall:
    """One call at Twilio, from the first webhook to the last TwiML."""

    def __init__(self, uri: str, account: TwilioAccount, line: StreamLine, *, network: StreamNetwork, caller: str):
        scheme, _, rest = uri.partition("://")
        if scheme not in SCHEMES:
            raise DialFailed(f"{uri}: not a twilio+ws address")
        self._voice_url = f"{SCHEMES[scheme]}://{rest}"
        self._account, self._line, self._network = account, line, network
        self.call_sid = "CA" + secrets.token_hex(16)
        self.caller = caller
        self.book = PhoneBook(user=caller.lstrip("+"))
        self.trace = TwilioTrace()
        self.stream: StreamDouble | None = None
        self.on_stream: Callable[[], None] = lambda: None
        self._given: str | None = None
        self._dialled_at = time.monotonic()

    async def run(self) -> None:
        """The call to its end. Raises ``DialFailed`` where the webhook cannot be reached."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WEBHOOK_S)) as http:
            document = await self._ask(http, self._voice_url, {"CallStatus": "ringing", "Direction": "inbound"})
            for _ in range(MOST_DOCUMENTS):
                if document is None:
                    break
                document = await self._perform(http, document)

    def give(self, document: str) -> None:
        """New TwiML by the REST API: the stream ends, and this comes next."""
        self._given = document
        if self.stream is not None:
            self.stream.hang_up()

    def complete(self) -> None:
        """Ended by the REST API."""
        self.give("<Response><Hangup/></Response>")
        self.book.ended_by = self.book.ended_by or "agent"

    # --- TwiML ---

    async def _perform(self, http: aiohttp.ClientSession, document: str) -> str | None:
        """The document's verbs; the next document, if there is one."""
        self.trace.documents.append(document)
        for verb in ET.fromstring(document):
            match verb.tag:
                case "Connect":
                    return await self._connect(http, verb)
                case "Redirect":
                    self.trace.redirected_to = (verb.text or "").strip()
                    return None
                case "Dial":
                    self.book.transferred_to = "".join(verb.itertext()).strip()
                    return None
                case "Reject":
                    self.trace.rejected = verb.get("reason", "rejected")
                    self.book.status = self.book.status or 486
                    return None
                case "Hangup":
                    return None
                case _:
                    continue
        return None

    async def _connect(self, http: aiohttp.ClientSession, verb: ET.Element) -> str | None:
        stream = verb.find("Stream")
        if stream is None:
            return None
        await self._run_stream(http, stream)
        if self._given is not None:
            given, self._given = self._given, None
            return given
        if self._line.finished or self.book.ended_by == "caller":
            return None
        action = verb.get("action")
        return await self._ask(http, action, {"CallStatus": "in-progress"}) if action else None

    async def _run_stream(self, http: aiohttp.ClientSession, verb: ET.Element) -> None:
        url = verb.get("url", "")
        parameters = {item.get("name", ""): item.get("value", "") for item in verb.findall("Parameter")}
        headers = {"X-Twilio-Signature": sign_request(self._account.auth_token, url, {})}
        try:
            socket = await http.ws_connect(self._reached(url), headers=headers, max_msg_size=1 << 20)
        except aiohttp.ClientError as error:
            self.book.reason = f"stream: {error}"
            return
        self.book.status = 200
        self.book.answered_after_s = time.monotonic() - self._dialled_at
        double = self.stream = StreamDouble(
            socket,
            self._line,
            account_sid=self._account.account_sid,
            call_sid=self.call_sid,
            stream_sid="MZ" + secrets.token_hex(16),
            parameters=parameters,
            network=self._network,
        )
        self.trace.streams.append(double.facts)
        self.trace.buffers.append(double.buffer)
        self.on_stream()
        await double.run()
        self.book.ended_by = self.book.ended_by or ("caller" if double.facts.closed_by == "us" else "agent")
        if double.facts.closed_by == "us" and self._given is not None:
            self.book.ended_by = "agent"

    # --- webhooks ---

    async def _ask(self, http: aiohttp.ClientSession, url: str, more: dict[str, str]) -> str | None:
        fields = {
            "AccountSid": self._account.account_sid,
            "ApiVersion": "2010-04-01",
            "CallSid": self.call_sid,
            "From": self.caller,
            "To": "+15550001000",
            **more,
        }
        signature = sign_request(self._account.auth_token, self._signed(url), fields)
        try:
            async with http.post(
                self._reached(url), data=fields, headers={"X-Twilio-Signature": signature}
            ) as response:
                self.trace.http_status = response.status
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DialFailed(f"{url}: {error}") from error
        if response.status != 200:
            self.book.status = self.book.status or response.status
            self.book.reason = text.strip()[:200]
            return None
        return text

    def _signed(self, url: str) -> str:
        """The URL as the server was configured to be known by."""
        if not self._account.public_url or not url.startswith(self._dialled):
            return url
        return self._account.public_url + url.removeprefix(self._dialled)

    def _reached(self, url: str) -> str:
        """The URL as it can be reached from here: a public name stands for the machine that was dialled."""
        public = self._account.public_url
        if public and url.startswith(public):
            return self._dialled + url.removeprefix(public)
        return urljoin(self._voice_url, url)

    @property
    def _dialled(self) -> str:
        parts = urlsplit(self._voice_url)
        return urlunsplit((parts.scheme, parts.netloc, "", "", ""))


@dataclass(slots=True, kw_only=True)
class TwilioResult:
    """A call as its caller has it, and as Twilio saw it."""

    result: CallResult
    trace: TwilioTrace


async def run_twilio_call(
    uri: str,
    script: Script,
    *,
    account: TwilioAccount,
    cues: tuple[Cue, ...] | None = None,
    renderer: Renderer | None = None,
    call: str = "call",
    control: bool = False,
    seed: int | None = None,
    network: StreamNetwork | None = None,
    on_call: Callable[[TwilioCall], None] = lambda call: None,
) -> TwilioResult:
    """Dial ``uri`` and perform ``script``; see ``agent.simulator.caller.run_call``."""
    if cues is None:
        cues = await asyncio.to_thread((renderer or Renderer()).cues, script)
    seed = script.seed if seed is None else seed
    line = await new_line(script, cues, call=call, control=control, seed=seed)
    try:
        made = TwilioCall(uri, account, line, network=network or StreamNetwork(), caller=_number())
        on_call(made)
        with suppress(TimeoutError):
            async with asyncio.timeout(script.max_s + 5.0):
                await made.run()
    finally:
        line.close()
    return TwilioResult(result=stream_result(call, made.book, line, seed), trace=made.trace)


def _number() -> str:
    """A number of a fictitious range, unlike any other."""
    return f"+1555{secrets.randbelow(10**10):010d}"
