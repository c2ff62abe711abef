"""Models that a hub names ``owner/model``: pinned by revision, checksums by their pointers, an account where one is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.pull.catalogue import CATALOGUE, Kind, PinnedFile, PinnedModel
from agent.pull.command import Order, listing, pull
from agent.pull.download import Downloader
from agent.pull.errors import PullFailed
from agent.pull.store import ModelFolder, located
from tests.unit.agent.pull.pull_server import Files, serving
from tests.unit.agent.pull.test_pull import LICENCE

NAME = "somebody/speaks-7b"
WEIGHTS, CODEC, PIECES = b"w" * 400_000, b"c" * 30_000, b"p" * 500
REVISION = "0123456789abcdef0123456789abcdef01234567"
ORDER = Order(name=NAME, accepted=True, quiet=True)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pointer(data: bytes) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha(data)}\nsize {len(data)}\n".encode()


def path(kind: str, name: str) -> str:
    return f"/{NAME}/{kind}/{REVISION}/{name}"


@pytest.fixture
def hub() -> Files:
    return Files(
        data={
            path("resolve", "model.safetensors"): WEIGHTS,
            path("raw", "model.safetensors"): pointer(WEIGHTS),
            path("resolve", "tokenizer-a.safetensors"): CODEC,
            path("resolve", "tokenizer_b.model"): PIECES,
        }
    )


@pytest.fixture
def catalogue(hub: Files) -> Iterator[dict[str, PinnedModel]]:
    with serving(hub) as base:
        files = [
            PinnedFile(
                name="model.safetensors",
                url=base + path("resolve", "model.safetensors"),
                size=0,
                sha256="",
                pointer=base + path("raw", "model.safetensors"),
            ),
            *(
                PinnedFile(name=name, url=base + path("resolve", name), size=len(data), sha256=sha(data))
                for name, data in (("tokenizer-a.safetensors", CODEC), ("tokenizer_b.model", PIECES))
            ),
        ]
        yield {NAME: PinnedModel(name=NAME, kind=Kind.MOSHI, about="a test", licence=LICENCE, files=tuple(files))}


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder(tmp_path / "models")


def quick(**options: str) -> Downloader:
    return Downloader(timeout_s=1.0, pause=lambda _s: None, **options)


def test_model_of_a_hub_comes_whole_and_is_found_by_its_name(
    catalogue: dict[str, PinnedModel], hub: Files, folder: ModelFolder
) -> None:
    done = pull(ORDER, folder, catalogue=catalogue, downloader=quick())
    assert (done["fresh"], done["kind"], done["bytes"]) == (True, "moshi", 430_500)
    assert done["use"].startswith(f"crosstalk serve --model {NAME} ")
    held = folder.get(NAME)
    assert held is not None
    assert [file.sha256 for file in held.files] == [sha(WEIGHTS), sha(CODEC), sha(PIECES)]
    assert located(str(folder.folder), "somebody--speaks-7b") == str(folder.path(NAME))
    asked = len(hub.asked)
    assert pull(ORDER, folder, catalogue=catalogue, downloader=quick())["fresh"] is False
    assert len(hub.asked) == asked, "nothing is asked where all is there"
    assert [row["state"] for row in listing(folder, catalogue=catalogue, deep=True)] == ["ready"]
    folder.remove(NAME)
    assert folder.held() == []


def test_weights_that_differ_from_their_pointer_are_refused(
    catalogue: dict[str, PinnedModel], hub: Files, folder: ModelFolder
) -> None:
    hub.data[path("resolve", "model.safetensors")] = b"x" * len(WEIGHTS)
    with pytest.raises(PullFailed, match=r"SHA-256 is .*, pinned is .*; deleted"):
        pull(ORDER, folder, catalogue=catalogue, downloader=quick())
    assert folder.held() == []


@pytest.mark.parametrize("text", [b"", b"<html>sign in</html>", pointer(b"x")[:-9], b"x" * 2000])
def test_pointer_that_is_none_is_refused(
    text: bytes, catalogue: dict[str, PinnedModel], hub: Files, folder: ModelFolder
) -> None:
    hub.data[path("raw", "model.safetensors")] = text
    with pytest.raises(PullFailed, match=r"no Git LFS pointer|more than 1024 bytes"):
        pull(ORDER, folder, catalogue=catalogue, downloader=quick())


def test_file_that_the_hub_does_not_have_is_named(
    catalogue: dict[str, PinnedModel], hub: Files, folder: ModelFolder
) -> None:
    del hub.data[path("resolve", "tokenizer_b.model")]
    with pytest.raises(PullFailed, match=r"tokenizer_b\.model: HTTP 404"):
        pull(ORDER, folder, catalogue=catalogue, downloader=quick())


def test_token_goes_to_the_hub_and_to_no_host_that_it_sends_us_to(
    catalogue: dict[str, PinnedModel], hub: Files, folder: ModelFolder
) -> None:
    elsewhere = Files(data={"model.safetensors": WEIGHTS})
    with serving(elsewhere) as other:
        hub.moved[path("resolve", "model.safetensors")] = f"{other}/model.safetensors"
        pull(ORDER, folder, catalogue=catalogue, downloader=quick(token="hf_secret", hub="127.0.0.1"))
    assert set(hub.tokens) == {"Bearer hf_secret"}
    assert set(elsewhere.tokens) == {""}


def test_other_hosts_are_told_no_token(catalogue: dict[str, PinnedModel], hub: Files, folder: ModelFolder) -> None:
    pull(ORDER, folder, catalogue=catalogue, downloader=quick(token="hf_secret"))
    assert set(hub.tokens) == {""}


def test_account_that_is_wanted_is_told(catalogue: dict[str, PinnedModel], hub: Files, folder: ModelFolder) -> None:
    hub.status = [401]
    with pytest.raises(PullFailed, match=r"HTTP 401 .*wants an account.*HF_TOKEN"):
        pull(ORDER, folder, catalogue=catalogue, downloader=quick())


def test_folder_of_unknown_weights_is_not_taken_for_the_publishers(
    catalogue: dict[str, PinnedModel], folder: ModelFolder, tmp_path: Path
) -> None:
    brought = tmp_path / "brought"
    brought.mkdir()
    (brought / "model.safetensors").write_bytes(WEIGHTS)
    with pytest.raises(PullFailed, match="its checksum is asked of the publisher"):
        pull(Order(name=NAME, accepted=True, quiet=True, source=brought), folder, catalogue=catalogue)


def test_three_speech_models_are_known_with_their_licences() -> None:
    speech = {name: model for name, model in CATALOGUE.items() if model.kind is Kind.MOSHI}
    assert list(speech) == ["kyutai/moshiko-pytorch-bf16", "kyutai/moshika-pytorch-bf16", "nvidia/personaplex-7b-v1"]
    for model in speech.values():
        assert model.licence.id in ("CC-BY-4.0", "LicenseRef-NVIDIA-Open-Model")
        for file in model.files:
            assert bool(file.sha256) != bool(file.pointer), "one or the other"
            assert "/main/" not in file.url + file.pointer, "a revision, never a branch"
