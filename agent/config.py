"""The configuration: one frozen tree. ``agent.config_load`` fills it from TOML, environment and flags.

Each field's docstring is its line in ``docs/reference/configuration.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.behaviour import Behaviour
from agent.model.names import ModelName, RecogniserName
from agent.scheduler.floor.profile import FloorProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class SipConfig:
    host: str = "0.0.0.0"  # a phone on the same network must reach it
    """Address to listen on (UDP)."""
    port: int = 5060
    """Port to listen on; 0 picks a free one."""
    advertised_address: str = ""
    """Address that peers are told in Via, Contact and SDP; empty: the address that faces the peer."""
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
    """Networks that may signal to us. Anything else is dropped in silence. Public trunks must be named."""
    transfer_targets: tuple[str, ...] = ("sip:",)
    """Prefixes of targets that a call may be transferred to."""
    session_expires_s: int = 1800
    """Longest session refresh interval that we answer with (RFC 4028)."""
    max_half_open: int = 200
    """INVITEs in progress; above it new ones get 503."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaConfig:
    port_min: int = 20000
    """First RTP port (even)."""
    port_max: int = 29998
    """Last RTP port."""
    phases: int = 4
    """Sub-ticks over which legs are spread."""
    playout_min_ms: int = 20
    playout_start_ms: int = 40
    playout_max_ms: int = 100
    first_packet_timeout_s: float = 30.0
    silence_timeout_s: float = 15.0
    """No packet for that long while not held ends the call."""
    port_rest_s: float = 5.0
    """A closed port rests until no packet came for that long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    doors: tuple[str, ...] = ()
    """Doors for calls over one WebSocket: ``pcm`` (plain audio) and ``live`` (the live session protocol)."""
    host: str = "127.0.0.1"
    port: int = 8090
    """0 picks a free one."""
    public_url: str = ""
    """Address that others reach the doors by, as ``wss://voice.example.org``; empty: host and port."""
    token: str = field(default="", repr=False, metadata={"secret": True})
    """What ``pcm`` and ``live`` want as ``Authorization: Bearer …``; needed unless only this machine can reach them."""
    allow_origins: tuple[str, ...] = ()
    """Origins whose pages may open a socket, as ``https://app.example.org``; a browser's other pages are refused."""
    max_calls: int = 100
    """Streams at once; above it new ones get 503."""
    silence_timeout_s: float = 60.0
    """No audio for that long from a client that has not muted itself ends the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioConfig:
    """For ``twilio`` in ``stream.doors``; ``telnyx`` and ``plivo`` need ``token_key`` only."""

    public_url: str = ""
    """`https://…` that Twilio reaches this service's HTTP by; signatures are checked against it, never a header."""
    stream_url: str = ""
    """`wss://…/twilio/stream` that Twilio opens media streams at."""
    auth_token: str = field(default="", repr=False, metadata={"secret": True})
    """The account's auth token, which signs webhooks and streams; never shown."""
    account_sid: str = ""
    """Other accounts are refused; needed for transfers and placed calls."""
    api_key: str = ""
    """SID of an API key for REST; empty: the account and its auth token."""
    api_secret: str = field(default="", repr=False, metadata={"secret": True})
    """Its secret; never shown."""
    token_key: str = field(default="", repr=False, metadata={"secret": True})
    """Signs the one-time tokens of streams; empty: a new one at each start. Never shown."""
    fallback: str = ""
    """Where a call goes that we cannot take or lost: another gateway's `https://…`, `+E.164` or `sip:…`."""
    caller: str = ""
    """Number (`+15551234567`) that calls to `tel:` targets come from, where the request names none."""
    rest_url: str = ""
    """Replaces `https://api.twilio.com` (a regional proxy, tests)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebRtcConfig:
    """Calls from browsers: the page ``/`` and WHIP."""

    enabled: str = "auto"
    """``auto`` (where the extra ``webrtc`` is installed), ``on`` or ``off``."""
    codecs: tuple[str, ...] = ("opus", "PCMU", "PCMA")
    """Codecs that are taken, best first. ``PCMU`` first costs half the CPU and has no protection against loss."""
    opus_complexity: int = 5
    """0 to 10. At 0 our packets carry no error correction."""
    hosts: tuple[str, ...] = ()
    """Local addresses that browsers send to; empty: all of this machine."""
    port_min: int = 0
    """First UDP port; 0: any free one."""
    port_max: int = 0
    advertised_address: str = ""
    """Address that browsers are told instead of the local ones (a host behind 1:1 NAT)."""
    stun: tuple[str, ...] = ()
    """``stun:host[:port]``, told to browsers too; the first one is used by us."""
    turn: tuple[str, ...] = ()
    """``turn:host[:port][?transport=tcp]`` or ``turns:host[:port]``; the first one is used by us."""
    turn_username: str = ""
    turn_password: str = field(default="", repr=False, metadata={"secret": True})
    """Of the TURN servers; told to browsers that have a token; never shown."""
    resume_s: float = 10.0
    """A caller whose connection is lost may come back for that long."""
    max_calls: int = 40
    """Browsers at once; above it new ones get 503."""
    secret: str = field(default="", repr=False, metadata={"secret": True})
    """Signs tokens: 64 hex digits; empty: a new one at each start; never shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    host: str = "127.0.0.1"
    port: int = 8080
    """0 picks a free one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    folder: str = "var/api"
    """Where API keys (hashed), published agents and webhook endpoints are kept: this gateway's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundConfig:
    allow: tuple[str, ...] = ()
    """Where calls may be placed: `sip:USER@HOST[:PORT]`; `*` may end USER, or be HOST or PORT. `tel:+1555*`: by
    Twilio. Empty: nowhere."""
    caller: str = ""
    """Address that placed calls come from (`sip:line@example.com`), where the request names none."""
    max_concurrent: int = 10
    """Placed calls of one tenant at a time."""
    ring_limit_s: int = 45
    """How long the far end may ring, where the request does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    model: str = ModelName.SMALL.value
    """``small`` (our own ears), ``parts`` (the same by rules, without our floor net), ``vad`` (voice activity alone), a
    speech-native model (extra ``gpu``) by its folder or by the name under which it was pulled (both with a slash), or a
    fake: ``echo talker silent marker``."""
    workers: int = 1
    spare: int = 1
    """Warm workers without calls, ready to take over."""
    remote: tuple[str, ...] = ()
    """Workers that others run (``crosstalk worker``): ``host:port`` of their control sockets. The links are not
    encrypted: a private network alone."""
    rows: int = 256
    """Most rows of a worker; admission offers what the measured step time allows."""
    step_budget: float = 0.6
    """Share of a step that its p99 may take."""
    device: str = "auto"
    """Of a speech-native model: ``auto`` (CUDA where it is there), ``cpu``, ``cuda``, ``cuda:1``."""
    window_s: float = 0.0
    """How far back a speech-native model remembers a call; 0: as far as it was made for. Shorter gives more rows."""
    short_rows: int = 0
    """So many of its rows, given last, remember ``short_window_s`` alone."""
    short_window_s: float = 60.0
    fp8_kv: bool = False
    """Keep that memory in 8 bits: half the bytes, a small error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarsConfig:
    recogniser: str = RecogniserName.BOTH.value
    """``both``, ``words`` (ours), ``pocketsphinx`` (hardly any human on a phone), ``sherpa``, ``pipecat``, ``none``."""
    recogniser_processes: int = 1
    sherpa_model: str = ""
    """A streaming model of ``crosstalk pull`` by its name, or a folder with one for sherpa-onnx."""
    weights: str = ""
    """Of ``engine.model = small``: file or folder of a floor net; empty: the one that ships."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceConfig:
    engine: str = "auto"
    """``auto``: flite where ``libflite1`` is (exact word times), else ``pico``; or ``flite pico kokoro piper``."""
    name: str = ""
    """Voice of the engine (flite ``rms slt awb kal``; pico ``en-US en-GB``; kokoro ``af_heart`` …); empty: its best."""
    model: str = ""
    """For ``kokoro`` and ``piper``: a model of ``crosstalk pull`` by its name, or a folder."""
    program: str = "piper"
    """The program of ``piper``: a name in ``PATH`` or a path."""
    processes: int = 1
    cache_phrases: int = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatConfig:
    """``agent.brain = chat``: an endpoint with streamed chat completions answers."""

    url: str = ""
    """Base of the endpoint, as ``http://127.0.0.1:8000/v1``; ``/chat/completions`` is added."""
    model: str = ""
    api_key: str = field(default="", repr=False, metadata={"secret": True})
    """Sent as ``Authorization: Bearer …``; never shown."""
    prompt: str = ""
    """Path of the system prompt; ``{from}``, ``{to}`` and the variables of ``call.incoming`` are filled in."""
    extra: str = ""
    """More fields of each request as a JSON object: ``{"temperature": 0.3}``."""
    tools: str = ""
    """Path of a YAML list of tools that ``agent.tool_url`` answers."""
    greeting: str = "How can I help you?"
    """Said behind the disclosure; may be interrupted."""
    filler: str = "One moment, please."
    """Said when no answer has begun in time; empty: nothing."""
    fallback: str = "I am sorry, I could not work that out. Could you say it once more?"
    """Said when the endpoint gives no answer."""
    not_understood: str = "I am sorry, I did not catch that."
    still_there: str = "Are you still there?"
    give_up: str = "I am sorry, something is wrong on our side. Please call again later."
    give_up_target: str = ""
    """Where the caller is transferred after ``most_failures``; empty: the call ends."""
    most_failures: int = 3
    """Answers in a row that fail before we give up."""
    transfers: tuple[str, ...] = ()
    """Where the model may transfer a caller to: ``name=sip:user@host``."""
    can_hang_up: bool = True
    """The model may end the call."""
    prepare: bool = True
    """Ask as soon as the caller pauses; costs requests whose answers are thrown away when the caller goes on."""
    filler_after_ms: int = 700
    first_token_budget_s: float = 8.0
    """An answer that has not begun by then has failed."""
    stall_s: float = 5.0
    """So has one that stops coming for that long."""
    answer_budget_s: float = 30.0
    """Longest time of one request."""
    most_words: int = 200
    """A longer answer is ended behind a clause."""
    keys_gap_ms: int = 1500
    """Keys with no longer pauses between them are told together; ``#`` ends them at once."""
    history_characters: int = 40000
    """More makes the oldest turns be forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """``agent.brain = relay``: a server that speaks ConversationRelay answers."""

    url: str = ""
    """``wss://…`` of the server."""
    headers: tuple[str, ...] = field(default=(), repr=False, metadata={"secret": True})
    """Sent with the upgrade: ``Name: value``; never shown."""
    signing_token: str = field(default="", repr=False, metadata={"secret": True})
    """Signs the upgrade by ``X-Twilio-Signature`` for servers that check it; never shown."""
    greeting: str = ""
    """Said behind the disclosure; may be interrupted."""
    partial_prompts: bool = False
    """Tell the caller's words while they speak."""
    filler: str = "One moment, please."
    fallback: str = "I am sorry, I could not work that out. Could you say it once more?"
    give_up: str = "I am sorry, something is wrong on our side. Please call again later."
    give_up_target: str = ""
    """Where the caller is transferred when the server stays away; empty: the call ends."""
    handoff_target: str = ""
    """Where the caller is transferred by an ``end`` with ``handoffData``; empty: the call ends."""
    filler_after_ms: int = 700
    first_token_budget_s: float = 8.0
    connect_budget_s: float = 10.0
    """A server that cannot be reached for that long makes us give up."""
    most_words: int = 400
    """Words in a row without anything from the caller; what comes beyond is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    name: str
    url: str = ""
    """Streamable HTTP; or …"""
    command: tuple[str, ...] = ()
    """… program and arguments that speak on standard input and output."""
    headers: tuple[str, ...] = field(default=(), repr=False, metadata={"secret": True})
    """Sent with each request: ``Name: value``; never shown."""
    environment: tuple[str, ...] = field(default=(), repr=False, metadata={"secret": True})
    """What ``command`` gets besides ``PATH`` and ``HOME``: ``NAME=value``; never shown."""
    tools: tuple[str, ...] = ()
    """Names of the tools that may be used; ``*`` for all of them."""
    refresh_s: float = 300.0
    """How often the list of tools is read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeConfig:
    """``agent.brain = native``: a speech-native model leads the call (docs/howto/gpu.md)."""

    role: str = ""
    """What the model is told it is, before the call (PersonaPlex)."""
    voice: str = ""
    """One of the model's own voices (PersonaPlex: ``NATF2`` …); empty: its own choice."""
    seed: int = -1
    """Of the tokens that are drawn; -1: another one for each call."""
    tools: str = ""
    """YAML file: what the model must have said for a tool to be asked, and what it says of the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    name: str = "parcel"
    brain: str = "flow"
    """``flow`` (a dialogue file), ``chat``, ``relay`` (servers), ``native`` (a speech-native model leads; the default
    beside one) or ``chatter`` (some sentence: for load tests)."""
    dialogue: str = ""
    """Path of the dialogue; empty: the shipped parcel line."""
    disclosure: str = ""
    """Said first, never cut; empty: the dialogue's own, or a sentence of ours (``chat``, ``relay``, ``native``)."""
    phrases: tuple[str, ...] = ()
    """What callers may say to ``chat`` or ``relay``, as in a dialogue; for ears that need a grammar (pocketsphinx)."""
    max_duration_s: int = 3600
    decision_url: str = ""
    """Where ``call.incoming`` is asked; empty: every call is accepted."""
    tool_url: str = ""
    """Where ``tool.call`` is asked."""
    on_decision_failure: str = "accept"
    """``accept``, ``reject`` or ``busy`` when ``call.incoming`` gives no usable answer in time."""
    decision_budget_s: float = 1.5
    tool_budget_s: float = 8.0
    floor: FloorProfile = field(default_factory=FloorProfile)
    behaviour: Behaviour = field(default_factory=Behaviour)
    chat: ChatConfig = field(default_factory=ChatConfig)
    relay: RelayConfig = field(default_factory=RelayConfig)
    native: NativeConfig = field(default_factory=NativeConfig)
    mcp: tuple[McpServer, ...] = ()
    """Servers whose tools the brain may use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    url: str = field(default="sqlite:var/crosstalk.db", repr=False)  # may hold a password
    """``sqlite:PATH`` or ``redis://host:port/db``."""
    lease_s: float = 10.0
    spill: str = "var/spill.jsonl"
    """Journal for what happens while the store is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpoint:
    name: str
    url: str
    secret: str = field(repr=False, metadata={"secret": True})
    """``whsec_…``; never shown."""
    events: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhooksConfig:
    secret: str = field(default="", repr=False, metadata={"secret": True})
    """Signs ``call.incoming`` and ``tool.call``; ``whsec_…``; never shown."""
    endpoints: tuple[WebhookEndpoint, ...] = ()
    allow_http: bool = False
    allow_networks: tuple[str, ...] = ()
    """Private networks that webhooks may reach (the SSRF guard refuses them otherwise)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingConfig:
    enabled: bool = False
    folder: str = "var/recordings"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsConfig:
    folder: str = "var/models"
    """Where ``crosstalk pull`` keeps models. Other keys may name a model there by its name alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    format: str = "auto"
    """``auto`` (human in a terminal, JSON otherwise), ``json`` or ``human``."""
    level: str = "info"
    mask_numbers: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    gateway: str = "gw1"
    """Name of this gateway: the owner of its calls. Unique in a cluster."""
    run_folder: str = ""
    """Folder of the sockets; empty: a private temporary folder."""
    drain_s: float = 60.0
    """How long running calls may go on after SIGTERM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration."""

    sip: SipConfig = field(default_factory=SipConfig)
    media: MediaConfig = field(default_factory=MediaConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    twilio: TwilioConfig = field(default_factory=TwilioConfig)
    webrtc: WebRtcConfig = field(default_factory=WebRtcConfig)
    http: HttpConfig = field(default_factory=HttpConfig)
    api: ApiConfig = field(default_factory=ApiConfig)
    outbound: OutboundConfig = field(default_factory=OutboundConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    ears: EarsConfig = field(default_factory=EarsConfig)
    voice: VoiceConfig = field(default_factory=VoiceConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    webhooks: WebhooksConfig = field(default_factory=WebhooksConfig)
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    models: ModelsConfig = field(default_factory=ModelsConfig)
    log: LogConfig = field(default_factory=LogConfig)
    service: ServiceConfig = field(default_factory=ServiceConfig)
