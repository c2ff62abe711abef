"""The floor net: streaming = offline, rows do not mix, training lowers the loss and resumes to the bit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Timer
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from agent.model.small.expectation import SIZE  # noqa: E402
from agent.training.dataset import Dataset, augmented  # noqa: E402
from agent.training.errors import TrainingError  # noqa: E402
from agent.training.evaluate import judge  # noqa: E402
from agent.training.mix import mix  # noqa: E402
from agent.training.net.floor import HEADS, FloorNet, FloorSizes, FloorState, parameters  # noqa: E402
from agent.training.net.loss import future, losses, total  # noqa: E402
from agent.training.net.products import Asked, Products  # noqa: E402
from agent.training.shard import shard_of, write  # noqa: E402
from agent.training.train import CHECKPOINT, Plan, Trainer, net_of, products_of, schedule, train  # noqa: E402
from tests.unit.agent.training.kit import need_gates, short  # noqa: E402

torch.set_num_threads(1)
SMALL = {"front": 8, "frame": 12, "own": 6, "expect": 4, "hidden": 16, "layers": 2}
TINY = FloorSizes(**SMALL)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    write(shard_of(short(0, 4)), folder / "shard-00000.npz")
    write(shard_of(short(4, 4)), folder / "shard-00001.npz")
    return folder


def inputs(rows: int, frames: int) -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    codes = [torch.from_numpy(rng.integers(0, 200, (rows, 4 * frames, 40)).astype(np.uint8)) for _ in range(2)]
    return [*codes, torch.from_numpy(rng.random((rows, frames, SIZE)).astype(np.float32))]


def net() -> FloorNet:
    torch.manual_seed(0)
    return FloorNet(TINY).eval()


def part(whole: Sequence[torch.Tensor], first: int, last: int) -> list[torch.Tensor]:
    return [whole[0][:, 4 * first : 4 * last], whole[1][:, 4 * first : 4 * last], whole[2][:, first:last]]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_streaming_is_offline(step: int) -> None:
    model, whole = net(), inputs(2, 12)
    with torch.inference_mode():
        expected, _ = model(*whole, model.start(2))
        state, found = model.start(2), []
        for first in range(0, 12, step):
            logits, state = model(*part(whole, first, first + step), state)
            found.append(logits)
    for name in HEADS:
        assert torch.allclose(torch.cat([f[name] for f in found], 1), expected[name], atol=1e-5)


def test_a_row_is_the_same_whoever_is_beside_it() -> None:
    model, whole = net(), inputs(3, 6)
    with torch.inference_mode():
        together, _ = model(*whole, model.start(3))
        alone, _ = model(*[value[1:2] for value in whole], model.start(1))
    for name in HEADS:
        assert torch.allclose(together[name][1:2], alone[name], atol=1e-5)


def test_nothing_of_the_future_is_heard() -> None:
    model, whole = net(), inputs(1, 8)
    changed = [value.clone() for value in whole]
    changed[0][:, 16:], changed[1][:, 16:], changed[2][:, 4:] = 0, 0, 0
    with torch.inference_mode():
        one, _ = model(*whole, model.start(1))
        other, _ = model(*changed, model.start(1))
    assert torch.equal(one["end"][:, :4], other["end"][:, :4])


def test_the_start_is_as_if_the_call_had_been_silent() -> None:
    model = net()
    silence = [torch.zeros((1, 12, 40), dtype=torch.uint8)] * 2 + [torch.zeros((1, 3, SIZE))]
    with torch.inference_mode():
        _, after = model(*silence, model.start(1))
        assert isinstance(after, FloorState)
        assert torch.allclose(after.first, model.start(1).first)
        assert torch.allclose(after.second, model.start(1).second, atol=1e-6)


def test_the_default_has_about_as_many_parameters_as_the_trials_advise() -> None:
    assert 1.5e6 < parameters(FloorNet()) < 2.5e6


def test_frames_that_are_not_asked_cost_nothing() -> None:
    model, whole = net(), inputs(2, 60)
    logits, _ = model(*whole, model.start(2))
    labels = {name: torch.full((2, 60), 255, dtype=torch.uint8) for name in ("end", "soon", "fits", "overlap")}
    labels |= {name: torch.zeros((2, 60), dtype=torch.uint8) for name in ("speech", "own", "sound")}
    found = losses(logits, labels)
    assert {*found} == {"speech", "future", "sound"}
    assert bool(torch.isfinite(total(found)))


def test_the_future_is_read_ahead() -> None:
    speech = torch.zeros((1, 60), dtype=torch.uint8)
    speech[0, 10:20] = 1
    ahead, known = future(speech, torch.zeros_like(speech))
    assert ahead[0, 9].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]  # 5 of 5 frames, 5 of 10, none
    assert ahead[0, 4].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    assert bool(known[0, 9])
    assert not bool(known[0, 20])


def test_a_checkpoint_of_another_net_is_refused(tmp_path: Path) -> None:
    torch.save({"plan": {"tower": "words", "sizes": {}}, "net": {}}, tmp_path / "old.pt")
    with pytest.raises(TrainingError, match="not a checkpoint of the floor net"):
        net_of(tmp_path / "old.pt")


def test_some_steps_lower_the_loss(shards: Path) -> None:
    data = Dataset(sorted(shards.glob("*.npz")), batch=4, seed=1)
    trainer = Trainer(Plan(steps=20, batch=4, rate=1e-2, sizes=SMALL), data)
    told = [trainer.one_step()["loss"] for _ in range(20)]
    assert np.mean(told[-4:]) < 0.85 * np.mean(told[:4])


@pytest.mark.parametrize("products", Products)
def test_a_run_that_was_stopped_goes_on_to_the_bit(products: Products, shards: Path, tmp_path: Path) -> None:
    if products is Products.BF16:
        need_gates()

    def trainer() -> Trainer:
        plan = Plan(steps=6, batch=4, sizes=SMALL, dropout=0.1, products=products.value)
        return Trainer(plan, Dataset(sorted(shards.glob("*.npz")), batch=4, seed=1))

    whole, first, second = trainer(), trainer(), trainer()
    for _ in range(6):
        whole.one_step()
    train(first, tmp_path, minutes=1, last=3)
    assert first.step == 3
    second.restore(tmp_path / CHECKPOINT)
    train(second, tmp_path, minutes=1)
    assert second.step == 6
    saved = net_of(tmp_path / CHECKPOINT).state_dict()
    for name, weights in whole.average.items():  # a checkpoint is judged by its average
        assert torch.equal(weights, saved[name])


def test_a_checkpoint_of_another_plan_or_none_is_refused(shards: Path, tmp_path: Path) -> None:
    data = Dataset(sorted(shards.glob("*.npz")), batch=4, seed=1)
    Trainer(Plan(steps=6, batch=4, sizes=SMALL), data).save(tmp_path / CHECKPOINT)
    with pytest.raises(TrainingError, match=r"another plan: steps 6$"):
        Trainer(Plan(steps=7, batch=4, sizes=SMALL), data).restore(tmp_path / CHECKPOINT)
    mix(tmp_path / CHECKPOINT, [(tmp_path / CHECKPOINT, 0.5)], tmp_path / "mixed.pt")
    with pytest.raises(TrainingError, match="weights alone"):
        Trainer(Plan(steps=6, batch=4, sizes=SMALL), data).restore(tmp_path / "mixed.pt")
    (tmp_path / "no.pt").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="not a checkpoint"):
        net_of(tmp_path / "no.pt")


def test_a_run_goes_on_in_the_products_and_by_the_clock_that_it_began_with(shards: Path, tmp_path: Path) -> None:
    data = Dataset(sorted(shards.glob("*.npz")), batch=4, seed=1)
    plan = Plan(steps=0, batch=4, sizes=SMALL)
    first = Trainer(plan, data, until=time.time() + 60)
    first.save(tmp_path / CHECKPOINT)
    assert products_of(Asked.AUTO, "cpu", tmp_path).products is Products.FLOAT32
    second = Trainer(plan, data, until=first.course.until + 60)
    second.course = replace(second.course, began=first.course.began + 30)
    second.restore(tmp_path / CHECKPOINT)
    assert second.course.began == first.course.began
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    del state["plan"]["products"]  # as checkpoints of before
    torch.save(state, tmp_path / CHECKPOINT)
    assert products_of(Asked.AUTO, "cpu", tmp_path).products is Products.FLOAT32
    second.restore(tmp_path / CHECKPOINT)


def test_a_pause_is_waited_for_and_a_time_that_is_over_ends_the_run(shards: Path, tmp_path: Path) -> None:
    data = Dataset(sorted(shards.glob("*.npz")), batch=4, seed=1)
    trainer = Trainer(Plan(steps=0, batch=4, sizes=SMALL), data, until=time.time() + 1.5)
    waiting = tmp_path / "pause"
    waiting.touch()
    Timer(0.5, waiting.unlink).start()
    train(trainer, tmp_path / "out", minutes=1, pause=str(waiting))
    assert not waiting.exists()
    assert trainer.done == 1
    assert trainer.step >= 1


def test_a_loss_that_is_no_number_stops_the_run(shards: Path) -> None:
    trainer = Trainer(Plan(steps=2, batch=4, sizes=SMALL), Dataset(sorted(shards.glob("*.npz")), batch=4, seed=1))
    with torch.no_grad():
        trainer.net.head.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss is nan"):
        trainer.one_step()


def test_batches_belong_to_seed_and_number(shards: Path) -> None:
    one, other = (Dataset(sorted(shards.glob("*.npz")), batch=3, seed=4) for _ in range(2))
    assert all(np.array_equal(one.batch(5)[name], other.batch(5)[name]) for name in one.batch(5))
    assert not np.array_equal(one.batch(0)["mel_caller"], one.batch(2)["mel_caller"])
    with pytest.raises(TrainingError, match="fewer than one batch"):
        Dataset(sorted(shards.glob("*.npz")), batch=9, seed=4)


def test_augmenting_leaves_silence_silent_and_labels_alone() -> None:
    batch = {name: np.full((4, 8, 40), 100, np.uint8) for name in ("mel_caller", "mel_own")}
    batch["mel_own"][:, :4] = 0
    batch["speech"] = np.ones((4, 2), np.uint8)
    out = augmented(batch, np.random.default_rng(3))
    assert out["mel_own"][:, :4].max() == 0
    assert abs(int(out["mel_caller"].max()) - 100) <= 16
    assert out["speech"] is batch["speech"]


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [schedule(step, step / 400) for step in range(400)]
    assert rates[0] < 0.05
    assert max(rates) == pytest.approx(1)
    assert rates[-1] < 0.03


def test_a_net_is_judged_per_turn_and_per_event(shards: Path) -> None:
    figures = judge(net(), shards)
    assert 0 <= figures["speaking_error"] <= 1
    assert {"turns", "overlaps", "turns_by_state"} <= {*figures}
    assert SimpleNamespace(**figures["overlaps"]).events
