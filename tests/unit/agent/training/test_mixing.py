"""Calls before the line, sent over new lines in the feature domain: levels are right, labels follow, seeds decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from agent.model.small.expectation import SIZE  # noqa: E402
from agent.model.small.features import log_mel  # noqa: E402
from agent.training import mixing  # noqa: E402
from agent.training.conversation.labels import NOT_ASKED, Overlap, Sound  # noqa: E402
from agent.training.dataset import Dataset  # noqa: E402
from agent.training.shard import Shard, shard_of, write  # noqa: E402
from agent.training.train import CHECKPOINT, Plan, Trainer  # noqa: E402
from tests.unit.agent.training.kit import conversation, short  # noqa: E402

LABELS = ("speech", "own", "end", "soon", "overlap", "fits", "sound", "truth")


@pytest.fixture(scope="module")
def shard() -> Shard:
    return shard_of([found.before_the_line for found in short(0, 4)])


def stems(shard: Shard) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(shard[name]) for name in ("mel_caller", "mel_own", "expect", *LABELS)}


def draw(rows: int, seed: int = 1) -> mixing.Draw:
    return mixing.Draw(torch.Generator().manual_seed(seed), rows, torch.device("cpu"))


def test_before_the_line_nothing_sounds_but_what_the_script_says(shard: Shard) -> None:
    silent = np.repeat((shard["sound"] == 0), 4, axis=1)
    edges = silent & np.roll(silent, 40, 1) & np.roll(silent, -40, 1)  # rooms ring on
    assert np.percentile(shard["mel_caller"][edges], 95) < 60  # -67 dB
    assert not (shard["sound"] & Sound.ECHO).any()
    assert not (shard["overlap"] == Overlap.ECHO).any()


def test_the_same_seed_gives_the_same_line_and_another_seed_another(shard: Shard) -> None:
    one, again, other = (mixing.mixed(stems(shard), torch.Generator().manual_seed(k)) for k in (1, 1, 2))
    assert torch.equal(one["mel_caller"], again["mel_caller"])
    assert not torch.equal(one["mel_caller"], other["mel_caller"])
    assert one["mel_caller"].shape == stems(shard)["mel_caller"].shape
    assert one["mel_caller"].dtype == torch.uint8


def test_noise_has_the_level_that_was_drawn() -> None:
    white = 0.01 * np.random.default_rng(0).standard_normal((1, 80_000)).astype(np.float32)  # -40 dBFS
    expected = float(mixing.power(torch.from_numpy(log_mel(white))).sum(2).mean())
    level = torch.full((16, 1, 1), -40.0)
    bed = mixing.noise(torch.rand((16, 400, 40)) * 1e-4, level, draw(16))
    found = bed.sum(2).mean(1)
    assert abs(10 * np.log10(float(found.median()) / expected)) < 3


def test_labels_tell_an_echo_only_where_our_voice_was(shard: Shard) -> None:
    found = mixing.mixed(stems(shard), torch.Generator().manual_seed(5))
    echo = (found["sound"] & int(Sound.ECHO)) > 0
    assert bool(echo.any())
    ours = torch.from_numpy((shard["own"] == 1).astype(np.float32)).unsqueeze(1)
    nearby = torch.nn.functional.max_pool1d(torch.nn.functional.pad(ours, (16, 0)), 17, 1).squeeze(1) > 0
    assert float((echo & ~nearby).float().mean()) < 0.02
    changed = found["overlap"] != torch.from_numpy(shard["overlap"])
    assert bool((found["overlap"][changed] == int(Overlap.ECHO)).all())
    for name in ("speech", "end", "fits", "soon", "truth"):
        assert torch.equal(found[name], torch.from_numpy(shard[name]))


def test_another_pace_moves_sound_and_labels_together() -> None:
    whole = stems(shard_of([conversation(0).before_the_line]))
    for seed in range(4):
        found = mixing.paced(whole, draw(1, seed))
        loud = found["mel_caller"][0].float().mean(1).view(-1, 4).amax(1)
        speech = found["speech"][0]
        assert float(loud[speech == 1].mean()) > float(loud[speech == 0].mean()) + 30
        asked = found["speech"][0] != NOT_ASKED
        assert float(asked.float().mean()) > 0.9
        assert not found["mel_caller"][0].view(-1, 4, 40)[~asked][1:].any()


def test_training_on_stems_goes_on_to_the_bit(shard: Shard, tmp_path: Path) -> None:
    write(shard, tmp_path / "shard-00000.npz")
    sizes = {"front": 8, "frame": 12, "own": 6, "expect": 4, "hidden": 16}
    plan = Plan(steps=4, batch=4, sizes=sizes, stems=True, dropout=0.3)

    def data(augment: bool) -> Dataset:
        return Dataset([tmp_path / "shard-00000.npz"], batch=2, seed=1, augment=augment)

    def trainer() -> Trainer:
        return Trainer(plan, data(True), stems=data(False))

    whole, first, second = trainer(), trainer(), trainer()
    for _ in range(4):
        whole.one_step()
    for _ in range(2):
        first.one_step()
    first.save(tmp_path / CHECKPOINT)
    second.restore(tmp_path / CHECKPOINT)
    for _ in range(2):
        second.one_step()
    for one, other in zip(whole.net.parameters(), second.net.parameters(), strict=True):
        assert torch.equal(one, other)
    begun = Trainer(plan, data(True), start=tmp_path / CHECKPOINT)
    assert begun.step == 0
    assert torch.equal(next(begun.net.parameters()), next(iter(first.average.values())))
    assert not torch.equal(next(first.net.parameters()), next(iter(first.average.values())))


def test_some_calls_are_told_nothing() -> None:
    told = torch.ones((200, 3, SIZE), dtype=torch.float16)
    found = mixing.forgotten(told, draw(200))
    without = (found[:, 0] != 1).any(1).float().mean()
    assert 0.02 < float(without) < 0.15
