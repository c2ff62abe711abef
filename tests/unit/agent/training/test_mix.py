"""Mixtures of weights: what is between two nets, of either kind, and what cannot be mixed."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from agent.training import mix as command  # noqa: E402
from agent.training.errors import TrainingError  # noqa: E402
from agent.training.mix import mix, part  # noqa: E402
from agent.training.net.phones import PhoneNet, PhoneSizes  # noqa: E402
from agent.training.train import net_of  # noqa: E402
from agent.training.words_train import load, save  # noqa: E402


def floor(path: Path, value: float, average: float | None = None) -> Path:
    from agent.training.train import build

    sizes = {"front": 4, "frame": 4, "own": 2, "expect": 2, "hidden": 4}
    weights = {name: torch.full_like(held, value) for name, held in build(sizes).state_dict().items()}
    state = {"plan": {"sizes": sizes}, "step": 3, "net": weights, "optimiser": {}}
    if average is not None:
        state["average"] = {name: torch.full_like(held, average) for name, held in weights.items()}
    torch.save(state, path)
    return path


def test_what_is_judged_is_mixed(tmp_path: Path) -> None:
    first, other = floor(tmp_path / "a.pt", 9.0, average=1.0), floor(tmp_path / "b.pt", 2.0)
    assert command.main([str(first), f"{other}:0.3", "--out", str(tmp_path / "m.pt")]) == 0
    for weights in net_of(tmp_path / "m.pt").state_dict().values():
        assert torch.allclose(weights, torch.full_like(weights, 1.3))
    assert not {"optimiser", "average"} & {*torch.load(tmp_path / "m.pt", weights_only=True)}


def test_phone_nets_are_mixed_too(tmp_path: Path) -> None:
    nets = [PhoneNet(PhoneSizes(front=4, hidden=4, layers=1)) for _ in range(2)]
    for name, net in zip("ab", nets, strict=True):
        save(tmp_path / f"{name}.pt", net, None, 5, {})
    mix(tmp_path / "a.pt", [(tmp_path / "b.pt", 0.25)], tmp_path / "m.pt")
    found = load(tmp_path / "m.pt")[0].head.weight
    assert torch.allclose(found, 0.75 * nets[0].head.weight + 0.25 * nets[1].head.weight)


def test_what_cannot_be_mixed_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = floor(tmp_path / "a.pt", 1.0)
    save(tmp_path / "phones.pt", PhoneNet(PhoneSizes(front=4, hidden=4, layers=1)), None, 5, {})
    with pytest.raises(TrainingError, match="another shape"):
        mix(first, [(tmp_path / "phones.pt", 0.5)], tmp_path / "m.pt")
    with pytest.raises(TrainingError, match="leave something"):
        mix(first, [(first, 0.5), (first, 0.5)], tmp_path / "m.pt")
    (tmp_path / "no.pt").write_bytes(b"no")
    assert command.main([str(first), f"{tmp_path / 'no.pt'}:0.5", "--out", str(tmp_path / "m.pt")]) == 2
    assert "no checkpoint of ours" in capsys.readouterr().err
    assert not (tmp_path / "m.pt").exists()


@pytest.mark.parametrize("text", ["a.pt", "a.pt:", ":0.5", "a.pt:1", "a.pt:0", "a.pt:x", "a.pt:nan"])
def test_a_share_is_between_0_and_1(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="FILE:SHARE"):
        part(text)
