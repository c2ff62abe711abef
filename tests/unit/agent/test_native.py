"""A speech-native model in the configuration: by folder or by the name under which it was pulled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.brain.native import NativeBrain
from agent.config import Config
from agent.config_load import load_config
from agent.errors import ConfigError
from agent.native import settled_native
from agent.parts import open_brain
from agent.pull.store import MANIFEST, folder_of


def config(model: str, **agent: object) -> Config:
    base = Config()
    return replace(base, engine=replace(base.engine, model=model), agent=replace(base.agent, **agent))  # type: ignore[arg-type]


def test_folder_is_taken_as_it_is_and_the_model_leads(tmp_path: Path) -> None:
    settled = settled_native(config(str(tmp_path)))
    assert (settled.engine.model, settled.agent.brain) == (str(tmp_path), "native")
    assert isinstance(open_brain(settled), NativeBrain)


def test_name_of_a_hub_is_what_was_pulled_under_it(tmp_path: Path) -> None:
    folder = tmp_path / "kyutai--moshiko-pytorch-bf16"
    folder.mkdir()
    (folder / MANIFEST).write_text(json.dumps({}))
    named = replace(config("kyutai/moshiko-pytorch-bf16"), models=replace(Config().models, folder=str(tmp_path)))
    assert settled_native(named).engine.model == str(folder)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("kyutai/moshiko-pytorch-bf16", "no such folder; to bring it: crosstalk pull kyutai/moshiko-pytorch-bf16"),
        ("/nowhere/at/all", "no such folder$"),
        ("./here", "no such folder"),
    ],
)
def test_model_that_is_not_there_is_named_with_what_helps(model: str, told: str, tmp_path: Path) -> None:
    named = replace(config(model), models=replace(Config().models, folder=str(tmp_path)))
    with pytest.raises(ConfigError, match=rf"^engine\.model: {model}: {told}"):
        settled_native(named)


def test_brain_that_somebody_has_chosen_stays(tmp_path: Path) -> None:
    assert settled_native(config(str(tmp_path), brain="chatter")).agent.brain == "chatter"
    assert settled_native(config(str(tmp_path), dialogue="mine.yaml")).agent.brain == "flow"
    assert settled_native(config("parts")).agent.brain == "flow"


def test_native_brain_wants_a_model_that_speaks() -> None:
    with pytest.raises(ConfigError, match=r"agent\.brain: native wants a model that speaks"):
        load_config(None, {}, {"agent.brain": "native"})
    load_config(None, {}, {"agent.brain": "native", "engine.model": "talker"})


def test_file_of_tools_is_read_at_the_start(tmp_path: Path) -> None:
    tools = tmp_path / "tools.yaml"
    tools.write_text("- {tool: t, when: x}")
    settled = settled_native(config(str(tmp_path), native=replace(Config().agent.native, tools=str(tools))))
    with pytest.raises(ConfigError, match=r"tools\.yaml\[0\]\.say: is needed"):
        open_brain(settled)


@pytest.mark.parametrize(("name", "folder"), [("a/b", "a--b"), ("a", ""), ("/a", ""), ("a/b/c", ""), ("../x", "")])
def test_names_of_hub_models_become_folders(name: str, folder: str) -> None:
    assert folder_of(name) == folder
