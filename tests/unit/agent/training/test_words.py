"""The word recogniser's data and training: what is held out stays out, a seed is a seed, training goes on to the bit."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.errors import ModelError
from agent.model.parts.engine import NOTHING, Guess
from agent.training.errors import TrainingError
from agent.training.fold import PHRASES_HELD_OUT, Fold, held_out
from agent.training.net.products import Asked
from agent.training.words_compare import Score
from agent.training.words_data import Utterances, joined, read, write
from agent.training.words_dictionary import kept
from agent.training.words_evaluate import reader
from agent.training.words_text import WordTexts, intents
from agent.training.words_trials import Trial, load, menu, over_the_phone, save
from agent.training.words_unseen import UNSEEN
from tests.unit.agent.training.kit import need_gates

PARCEL = Path(__file__).parents[4] / "deploy/examples/parcel/parcel.yaml"


def utterances(seed: int = 0) -> Utterances:
    """Bands that light up: enough to be learned."""
    rng = np.random.default_rng(seed)
    texts = ["one", "two", "three", "yes", "no", "", "four five", "six"] * 3
    lengths = rng.integers(20, 60, len(texts)).astype(np.int32)
    codes = rng.integers(20, 60, (int(lengths.sum()), 40)).astype(np.uint8)
    kinds = ["noise" if not text else ("human digit", "digits")[at % 2] for at, text in enumerate(texts)]
    starts = np.cumsum(lengths) - lengths
    for at, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        band = 4 * (at % 8)
        codes[start : start + length, band : band + 4] = 200
    return Utterances(
        codes=codes, lengths=lengths, texts=texts, speakers=[f"s{at % 3}" for at in range(len(texts))], kinds=kinds
    )


def test_utterances_are_read_as_they_were_written(tmp_path: Path) -> None:
    made = utterances()
    write(tmp_path / "a.npz", made)
    found = read(tmp_path / "a.npz")
    assert np.array_equal(found.codes, made.codes)
    assert list(found.texts) == list(made.texts)
    assert len(joined([found, made])) == 2 * len(made)
    (tmp_path / "b.npz").write_bytes(b"no")
    with pytest.raises(TrainingError, match=r"b\.npz"):
        read(tmp_path / "b.npz")


def test_phrases_that_are_held_out_are_never_said_in_training() -> None:
    texts = intents(PARCEL, Fold.TRAIN)
    assert not [text for text in texts if held_out(text, PHRASES_HELD_OUT)]
    assert set(texts) < set(intents(PARCEL, Fold.VALID))
    said = WordTexts(Fold.TRAIN, PARCEL)
    again = WordTexts(Fold.TRAIN, PARCEL)
    one = [said.draw(np.random.default_rng([3, k])) for k in range(20)]
    assert one == [again.draw(np.random.default_rng([3, k])) for k in range(20)]


def test_unseen_forms_are_no_forms_of_the_dialogue() -> None:
    known = set(intents(PARCEL, Fold.ALL))
    assert not [text for texts in UNSEEN.values() for text in texts if text in known]


def test_the_dictionary_keeps_words_that_can_be_said() -> None:
    lines = ["two T UW", "a.m. EY EH M", "read(2) R EH D", "x(9) EH K S"]
    assert list(kept(lines)) == ["two T UW", "read(2) R EH D"]
    with pytest.raises(TrainingError, match="line 1"):
        list(kept(["two T QQ"]))


def test_a_trial_is_scored_by_what_the_brain_would_take(tmp_path: Path) -> None:
    pcm = over_the_phone(np.ones(800, np.float32) * 0.1, 45.0, np.random.default_rng(1))
    trial = Trial(group="intent", expect=menu(PARCEL), pcm=pcm, truth="track", said="where is my parcel")
    save(tmp_path / "t.npz", [trial, trial])
    again = load(tmp_path / "t.npz")
    assert np.array_equal(again[1].pcm, pcm)
    assert again[0].expect == trial.expect
    read_words = reader(PARCEL)
    assert read_words(trial, Guess(("where", "is", "my", "parcel"), 1.0)) == ("track", False)
    assert read_words(trial, Guess(("where", "is", "my", "parcel"), 0.3)) == ("track", True)
    assert read_words(trial, Guess(("it", "is", "smashed"), 1.0)) == ("complaint", True)
    assert read_words(trial, NOTHING) == ("", False)
    score = Score()
    for taken in ("track", "", "change"):
        score.add("track", taken)
    assert (score.count, score.wrong, score.again) == (3, 1, 1)
    score.add("track", "track", is_question=True)
    score.add("track", "change", is_question=True)
    assert (score.count, score.wrong, score.again, score.asked, score.vain) == (5, 1, 2, 1, 1)


needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed (extra train)")


@needs_torch
@pytest.mark.parametrize("products", ["float32", "bf16"])
def test_training_lowers_the_loss_and_goes_on_to_the_bit(products: str, tmp_path: Path) -> None:
    import torch

    from agent.training.words_train import arguments, train
    from agent.training.words_train import load as load_net

    if products == "bf16":
        need_gates()
    store = _store()
    common = [
        "--data",
        ".",
        "--steps",
        "12",
        "--products",
        products,
        "--room",
        "900",
        "--front",
        "12",
        "--hidden",
        "16",
        "--layers",
        "2",
    ]
    whole = train(arguments([*common, "--out", str(tmp_path / "a"), "--save-every", "0"]), store)
    other = arguments([*common, "--out", str(tmp_path / "b"), "--save-every", "0"])
    other.stop_after = 5
    train(other, store)
    other.stop_after = 0
    other.products = Asked.AUTO  # it goes on as it was begun
    resumed = train(other, store)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    told = (tmp_path / "a" / "log.jsonl").read_text().splitlines()
    assert len(told) >= 2
    net, held = load_net(tmp_path / "a" / "phones.pt")
    assert held["step"] == 12
    assert held["products"] == products
    assert net.sizes.hidden == 16


@needs_torch
def test_the_same_seed_makes_the_same_batch_and_noise_never_says_a_phone() -> None:
    import torch

    from agent.training.words_mix import Line

    store = _store()
    first = store.string(6, 150, np.random.default_rng(5))
    second = store.string(6, 150, np.random.default_rng(5))
    assert first.targets == second.targets
    line = Line(store, "cpu")
    one = line.send(first, np.random.default_rng(7))
    assert torch.equal(one, line.send(second, np.random.default_rng(7)))
    assert one.shape == (6, 150, 40)
    assert one.dtype == torch.uint8


@needs_torch
def test_a_noisy_line_makes_silence_loud_the_same_way_each_time() -> None:
    from agent.training.words_mix import Line

    store = _store()
    strung = store.string(8, 150, np.random.default_rng(5))
    quiet, noisy, again = (
        Line(store, "cpu", share).send(strung, np.random.default_rng(7)).float() for share in (0.0, 1.0, 1.0)
    )
    assert bool((noisy == again).all())
    silent = (strung.frames < 0).nonzero()
    louder = noisy[silent].mean(dim=1) - quiet[silent].mean(dim=1)
    assert float(louder.median()) > 5


@needs_torch
@pytest.mark.skipif(find_spec("onnx") is None, reason="onnx is not installed (extra train)")
def test_the_exported_step_is_the_net(tmp_path: Path) -> None:
    import torch

    from agent.model.small.features import log_mel
    from agent.model.small.words_runtime import STEP, PhoneRuntime
    from agent.training.net.phones import PhoneNet, PhoneSizes
    from agent.training.words_export import export
    from agent.training.words_train import save as save_net

    torch.manual_seed(0)
    net = PhoneNet(PhoneSizes(front=12, hidden=16, layers=2)).eval()
    save_net(tmp_path / "n.pt", net, None, 0, {})
    export(tmp_path / "n.pt", tmp_path / "n.onnx", int8=False)
    pcm = (np.random.default_rng(0).standard_normal((3, STEP * 12)) * 0.05).astype(np.float32)
    with torch.inference_mode():
        wanted = net(torch.from_numpy(log_mel(pcm)), net.start(3))[0].log_softmax(-1).numpy()
    runtime = PhoneRuntime(tmp_path / "n.onnx", 3)
    rows = np.arange(3)
    steps = [runtime.step(pcm[:, at : at + STEP], rows) for at in range(0, pcm.shape[1], STEP)]
    assert np.abs(np.stack(steps, axis=1) - wanted).max() < 1e-4
    (tmp_path / "bad.onnx").write_bytes(b"no")
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        PhoneRuntime(tmp_path / "bad.onnx", 1)


def _store() -> Any:
    from agent.training.words_mix import Store

    return Store(utterances())
