from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from agent.config import Config, EarsConfig, EngineConfig
from agent.config_docs import field_docs, reference
from agent.config_load import HIDDEN, load_config, render
from agent.config_rules.problems import problems
from agent.config_rules.values import VALUES
from agent.config_schema import ENDPOINTS, KEYS
from agent.errors import ConfigError
from agent.model.names import ModelName, RecogniserName

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def write(folder: Path, text: str) -> Path:
    path = folder / "crosstalk.toml"
    path.write_text(text, encoding="utf-8")
    return path


def failure(path: Path | None = None, env: dict[str, str] | None = None, **flags: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(path, env or {}, {key.replace("__", "."): value for key, value in flags.items()})
    return caught.value


def test_without_anything_every_value_is_a_default() -> None:
    loaded = load_config(None, {}, {})
    assert loaded.config == Config()
    assert set(loaded.sources.values()) == {"default"}


def test_shipped_defaults_break_no_rule() -> None:
    assert problems(Config()) == []


def test_flag_wins_over_environment_and_environment_over_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[sip]\nport = 1\nmax_half_open = 2\n\n[http]\nport = 3\n")
    loaded = load_config(path, {"CROSSTALK_SIP__PORT": "4", "CROSSTALK_HTTP__PORT": "5"}, {"http.port": 6})
    assert (loaded.config.sip.port, loaded.config.sip.max_half_open, loaded.config.http.port) == (4, 2, 6)
    assert loaded.sources["sip.max_half_open"] == f"{path}:3"
    assert loaded.sources["sip.port"] == "env CROSSTALK_SIP__PORT"
    assert loaded.sources["http.port"] == "flag"


def test_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, "sip.port = 5072\n")
    loaded = load_config(None, {"CROSSTALK_CONFIG": str(path)}, {})
    assert loaded.config.sip.port == 5072
    assert loaded.sources["sip.port"] == f"{path}:1"


def test_unknown_key_is_named_with_its_path_and_line(tmp_path: Path) -> None:
    error = failure(write(tmp_path, "[agent.floor]\nduck_after_ms = 100\nduck_afer_ms = 100\n"))
    assert error.path == "agent.floor.duck_afer_ms"
    assert "unknown key" in error.reason
    assert "duck_after_ms" in error.reason
    assert "crosstalk.toml:3" in error.reason


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, '[sip]\nport = "5060"\nprot = 1\n[nothing]\nx = 1\n')
    text = str(failure(path, {"CROSSTALK_HTTP__PORT": "http"}, media__phases=True))
    for part in (
        "sip.port: must be a whole number",
        "sip.prot: unknown",
        "nothing: unknown",
        "http.port",
        "media.phases",
    ):
        assert part in text


def test_environment_texts_become_the_fields_type() -> None:
    env = {
        "CROSSTALK_SIP__PORT": " 5070 ",
        "CROSSTALK_SIP__ALLOW": "10.0.0.0/8, 192.0.2.0/24",
        "CROSSTALK_ENGINE__STEP_BUDGET": "1",
        "CROSSTALK_RECORDING__ENABLED": "Yes",
        "CROSSTALK_AGENT__FLOOR__SILENCE_LIMITS_MS": "[5000, 9000]",
        "CROSSTALK_AGENT__DISCLOSURE": "Hello, I am a machine.",
    }
    config = load_config(None, env, {}).config
    assert config.sip.port == 5070
    assert config.sip.allow == ("10.0.0.0/8", "192.0.2.0/24")
    assert config.engine.step_budget == 1.0
    assert config.recording.enabled is True
    assert config.agent.floor.silence_limits_ms == (5000, 9000)
    assert config.agent.disclosure == "Hello, I am a machine."


def test_variables_of_other_programs_are_left_alone() -> None:
    env = {"CROSSTALK_PORT": "tcp://10.0.0.1:80", "CROSSTALK_SERVICE_HOST": "10.0.0.1", "HOME": "/"}
    assert load_config(None, env, {}).config == Config()


@pytest.mark.parametrize(
    ("flags", "path", "reason"),
    [
        ({"sip.port": 65536}, "sip.port", "0 to 65535"),
        ({"media.port_min": 20001}, "media.port_min", "even"),
        ({"media.port_min": 30000}, "media.port_min", "less than"),
        ({"media.phases": 3}, "media.phases", "2, 4, 8, 10 or 20"),
        ({"media.playout_start_ms": 10}, "media.playout_start_ms", "between"),
        ({"media.playout_max_ms": 120}, "media.playout_max_ms", "100"),
        ({"engine.step_budget": 1.5}, "engine.step_budget", "at most 1"),
        ({"engine.step_budget": float("nan")}, "engine.step_budget", "more than 0"),
        ({"engine.model": "gpt"}, "engine.model", "parts, vad, echo"),
        ({"ears.recogniser": "sherpa"}, "ears.sherpa_model", "needed"),
        ({"sip.allow": ["10.0.0.0/33"]}, "sip.allow", "network"),
        ({"sip.advertised_address": "0.0.0.0"}, "sip.advertised_address", "send to"),
        ({"sip.advertised_address": "sip.example"}, "sip.advertised_address", "IP address"),
        ({"agent.decision_url": "example.com"}, "agent.decision_url", "URL"),
        ({"agent.decision_url": "https://example.com/in"}, "webhooks.secret", "needed"),
        ({"agent.decision_url": "http://127.0.0.1/", "webhooks.secret": SECRET}, "agent.decision_url", "allow_http"),
        ({"agent.decision_budget_s": 5}, "agent.decision_budget_s", "at most 4"),
        ({"agent.floor.speech_off": 0.9}, "agent.floor.speech_off", "speech_on"),
        ({"agent.floor.silence_limits_ms": [2, 1]}, "agent.floor.silence_limits_ms", "grow"),
        ({"agent.behaviour.interrupt_confidence": 1.5}, "agent.behaviour.interrupt_confidence", "0 to 1"),
        ({"agent.behaviour.backchannel_phrases": ["Okay.", " "]}, "agent.behaviour.backchannel_phrases", "one to 4"),
        ({"store.url": "mysql://x"}, "store.url", "sqlite:PATH"),
        ({"webhooks.secret": "whsec_???"}, "webhooks.secret", "base64"),
        ({"webhooks.secret": "whsec_c2hvcnQ="}, "webhooks.secret", "24 to 64 bytes"),
        ({"log.level": "loud"}, "log.level", "debug"),
        ({"service.gateway": "a b"}, "service.gateway", "letters"),
    ],
)
def test_values_that_cannot_work_are_refused(flags: dict[str, object], path: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, {}, flags)
    assert caught.value.path == path
    assert reason in caught.value.reason


def test_every_rule_belongs_to_a_key() -> None:
    assert set(VALUES) <= set(KEYS)


ENDPOINT = f"""[[webhooks.endpoints]]
name = "books"
url = "https://u:pw-in-url@books.example/hook"
secret = "{SECRET}"
events = ["call.ended"]
"""


def test_secrets_show_neither_in_the_listing_nor_in_repr(tmp_path: Path) -> None:
    loaded = load_config(
        write(tmp_path, ENDPOINT),
        {"CROSSTALK_WEBHOOKS__SECRET": SECRET},
        {"store.url": "redis://:pa55word@redis:6379/0"},
    )
    for shown in (render(loaded, as_json=True), render(loaded, as_json=False), repr(loaded)):
        assert SECRET not in shown
        assert "pa55word" not in shown
    assert "pw-in-url" not in render(loaded, as_json=True)
    listing = json.loads(render(loaded, as_json=True))
    assert listing["webhooks.secret"] == {"value": HIDDEN, "source": "env CROSSTALK_WEBHOOKS__SECRET"}
    assert listing["store.url"]["value"] == f"redis://:{HIDDEN}@redis:6379/0"
    assert listing[ENDPOINTS]["value"][0]["secret"] == HIDDEN
    assert loaded.config.webhooks.endpoints[0].secret == SECRET


def test_error_about_a_secret_does_not_repeat_it() -> None:
    text = str(failure(None, {"CROSSTALK_WEBHOOKS__SECRET": "hunter2-hunter2"}))
    assert "webhooks.secret" in text
    assert "hunter2" not in text


def test_secret_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "s").write_text(SECRET + "\n", encoding="utf-8")
    loaded = load_config(None, {"CROSSTALK_WEBHOOKS__SECRET_FILE": str(tmp_path / "s")}, {})
    assert loaded.config.webhooks.secret == SECRET
    assert "webhooks.secret" in str(failure(None, {"CROSSTALK_WEBHOOKS__SECRET_FILE": str(tmp_path / "none")}))


def test_endpoint_problems_name_the_entry(tmp_path: Path) -> None:
    text = str(failure(write(tmp_path, '[[webhooks.endpoints]]\nname = "a"\nurl = 5\ncolour = "red"\n')))
    assert "webhooks.endpoints[0].url: must be a text" in text
    assert "webhooks.endpoints[0].colour: unknown key" in text
    assert "webhooks.endpoints[0].secret: is missing" in text


def test_endpoint_twice_or_with_an_unknown_event_is_refused(tmp_path: Path) -> None:
    text = str(failure(write(tmp_path, ENDPOINT + ENDPOINT.replace("call.ended", "call.finished"))))
    assert "webhooks.endpoints[1].name: is used twice" in text
    assert "unknown event 'call.finished'" in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"[sip", "not valid TOML"), (b"\xff\xfe", "UTF-8"), (b"sip = 3\n", "must be a table")],
)
def test_broken_files_are_refused_with_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    assert reason in str(failure(path))


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert "cannot be read" in str(failure(tmp_path / "absent.toml"))


def test_flags_that_were_not_given_change_nothing() -> None:
    assert load_config(None, {}, {"sip.port": None}).config == Config()


def test_reference_page_is_fresh() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"
    assert page.read_text(encoding="utf-8") == reference(), "run: python -m agent.config_docs"


def test_reference_names_every_model_and_recogniser() -> None:
    told = re.findall(r"`([\w ]+)`", field_docs(EngineConfig)["model"])
    assert {name for names in told for name in names.split()} - {"gpu"} == set(ModelName)
    assert set(re.findall(r"`(\w+)`", field_docs(EarsConfig)["recogniser"])) == set(RecogniserName)
