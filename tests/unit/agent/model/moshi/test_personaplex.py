"""PersonaPlex: role and voice, taken in once and copied into rows."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra gpu is not installed")

from safetensors.torch import save  # noqa: E402

from agent.errors import ModelError  # noqa: E402
from agent.model.moshi import model as module  # noqa: E402
from agent.model.moshi.model import MoshiModel, Options, load_model  # noqa: E402
from agent.model.moshi.text import role_text  # noqa: E402
from agent.model.moshi.voice_names import voices_in  # noqa: E402
from agent.model.moshi.voices import load_voice  # noqa: E402
from agent.model.protocol import Persona  # noqa: E402
from tests.unit.agent.model.moshi.shapes import tiny_config  # noqa: E402
from tests.unit.agent.model.moshi.test_model import pcm_of, speech, step  # noqa: E402
from tests.unit.agent.model.moshi.tiny import write_checkpoint  # noqa: E402

CPU = Options(device="cpu")
ROLE = Persona(text="you are a friendly voice", seed=2)


def voice_tensors(*, frames: int = 5, dim: int = 64) -> dict[str, Any]:
    torch.manual_seed(frames)
    return {
        "embeddings": torch.randn(frames - 1, 1, 1, dim),
        "cache": torch.randint(0, 24, (1, 17, 4)),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path, model_type="personaplex", dep_q=16)
    (tmp_path / "voices").mkdir()
    torch.save(voice_tensors(), tmp_path / "voices" / "NATF2.pt")
    (tmp_path / "voices" / "OURS.safetensors").write_bytes(save(voice_tensors(frames=7)))
    return tmp_path


def call(model: MoshiModel, row: int, persona: Persona, steps: int = 12) -> list[Any]:
    model.admit(row, persona)
    return [
        pcm_of(step(model, {row: frame}, reset=(row,) if i == 0 else ()), row)
        for i, frame in enumerate(speech(1, steps))
    ]


def test_roles_and_voices_change_what_is_said(folder: Path) -> None:
    both = Persona(text=ROLE.text, voice="NATF2", seed=2)
    personas = (Persona(seed=2), ROLE, both, Persona(voice="OURS", seed=2))
    heard = [call(load_model(folder, 1, CPU), 0, persona) for persona in personas]
    assert all(not np.array_equal(a, b) for i, a in enumerate(heard) for b in heard[:i])


def test_prompt_is_taken_in_once_and_copied_into_each_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    original = module.take_in
    monkeypatch.setattr(module, "take_in", lambda *given: taken.append(given) or original(*given))
    model = load_model(folder, 3, CPU)
    first = call(model, 0, ROLE)
    assert np.array_equal(call(model, 2, ROLE), first)
    model.release(0)
    assert np.array_equal(call(model, 0, ROLE), first), "the copy in the cache was not touched by the call"
    assert len(taken) == 1


def test_joining_costs_the_other_rows_nothing(folder: Path) -> None:
    """They say what they would have said, in the very step in which somebody joins."""
    quiet, busy = load_model(folder, 2, CPU), load_model(folder, 2, CPU)
    for model in (quiet, busy):
        model.admit(0, ROLE)
    for i, frame in enumerate(speech(3, 10)):
        joins = i == 5
        if joins:
            busy.admit(1, Persona(text="say hello", voice="NATF2"))
        one = step(quiet, {0: frame}, reset=(0,) if i == 0 else ())
        other = {1: frame} if i >= 5 else {}
        two = step(busy, {0: frame} | other, reset=(0,) if i == 0 else ((1,) if joins else ()))
        assert np.array_equal(pcm_of(one, 0), pcm_of(two, 0))


def test_published_archive_of_voices_is_read_without_unpacking(folder: Path) -> None:
    with tarfile.open(folder / "voices.tgz", "w:gz") as archive:
        buffer = io.BytesIO()
        torch.save(voice_tensors(frames=6), buffer)
        info = tarfile.TarInfo("voices/VARM4.pt")
        info.size = buffer.tell()
        buffer.seek(0)
        archive.addfile(info, buffer)
    assert voices_in(folder) == ["NATF2", "OURS", "VARM4"]
    config = tiny_config(folder, model_type="personaplex", dep_q=16)
    assert load_voice(folder, "VARM4", config.lm).frames == 6


def test_last_codes_of_a_voice_come_from_its_ring(folder: Path) -> None:
    config = tiny_config(folder, model_type="personaplex", dep_q=16)
    cache = voice_tensors()["cache"]
    codes = load_voice(folder, "NATF2", config.lm).codes
    assert codes.shape == (5, 8)
    assert int(codes[4, 0]) == int(cache[0, 1, 4 % 4])
    assert int(codes[4, 1]) == int(cache[0, 2, 5 % 4])
    assert int(codes[3, 1]) == int(cache[0, 2, 4 % 4])
    assert (codes[:3] == -2).all()


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this must never run",))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "BAD.pt"),
        (b"not a file of tensors", "BAD.pt"),
        ({"embeddings": Evil()}, "BAD.pt"),
        ([1, 2], "must hold the tensors"),
        ({"embeddings": 1, "cache": 2}, "must hold the tensors"),
        (voice_tensors(dim=63), r"embeddings are \[4, 1, 1, 63\]"),
        (voice_tensors() | {"cache": torch.zeros(1, 17, 4)}, "expected .* of integers"),
        (voice_tensors() | {"cache": torch.zeros(1, 9, 4, dtype=torch.int64)}, r"cache is \[1, 9, 4\]"),
    ],
)
def test_damaged_voices_are_refused_and_none_runs_code(
    folder: Path, content: Any, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "voices" / "BAD.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    model = load_model(folder, 1, CPU)
    with pytest.raises(ModelError, match=told):
        model.admit(0, Persona(voice="BAD"))
    assert "never run" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["NOBODY", "../config", "/etc/passwd", ""])
def test_unknown_voice_is_refused_with_those_that_are_known(folder: Path, name: str) -> None:
    config = tiny_config(folder, model_type="personaplex", dep_q=16)
    with pytest.raises(ModelError, match="known: NATF2, OURS"):
        load_voice(folder, name, config.lm)


def test_role_goes_between_system_tags_once() -> None:
    assert role_text("  Be kind. ") == "<system> Be kind. <system>"
    assert role_text("<system> Be kind. <system>") == "<system> Be kind. <system>"
    assert role_text("  ") == ""
