"""The GRU of bf16 products beside torch's: what it says and every gradient; what is carried; where dropout falls."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from agent.training.net.floor import FloorNet, FloorSizes  # noqa: E402
from agent.training.net.gru import Gru  # noqa: E402
from agent.training.net.products import Products  # noqa: E402
from tests.unit.agent.training.kit import need_gates  # noqa: E402

torch.set_num_threads(1)
ROWS, STEPS, INPUT = 5, 24, 30
ROUNDED = 0.012
"""Relative norm: three times the rounding of a bf16 (2^-8), for errors that add up over steps and layers."""


def gru(size: int = 32, dropout: float = 0.0, layers: int = 2) -> Gru:
    need_gates()
    torch.manual_seed(1)
    made = Gru(INPUT, size, layers, batch_first=True, dropout=dropout)
    made.products = Products.BF16
    return made


def given(size: int = 32, layers: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    return torch.randn(ROWS, STEPS, INPUT), torch.randn(layers, ROWS, size)


def off(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("size", [32, 40, 7])
@pytest.mark.parametrize("layers", [1, 3])
def test_outputs_and_all_gradients_are_torch_s_but_for_rounding(size: int, layers: int) -> None:
    ours, told = gru(size, layers=layers), {}
    for products in Products:
        ours.products = products
        frames, hidden = (value.requires_grad_() for value in given(size, layers))
        ours.zero_grad()
        out, last = ours(frames, hidden)
        assert out.dtype == last.dtype == torch.float32
        (out.square().mean() + 0.1 * last[:, ::2].sum()).backward()
        gradients = {name: weight.grad.clone() for name, weight in ours.named_parameters()}
        told[products] = {"out": out, "last": last, "frames": frames.grad, "hidden": hidden.grad, **gradients}
    for name, wanted in told[Products.FLOAT32].items():
        assert off(told[Products.BF16][name].detach(), wanted.detach()) < ROUNDED, name
    assert {name for name, _ in ours.named_parameters()} == {
        *dict(torch.nn.GRU(INPUT, size, layers).named_parameters())
    }


def test_a_gradient_of_the_last_state_alone_comes_through() -> None:
    ours, grads = gru(), []
    for products in Products:
        ours.products = products
        frames, hidden = given()
        hidden.requires_grad_()
        ours(frames, hidden)[1].square().sum().backward()
        grads.append(hidden.grad)
    assert off(grads[1], grads[0]) < ROUNDED


def test_hidden_state_is_carried_over() -> None:
    ours, (frames, hidden) = gru(), given()
    with torch.no_grad():
        whole, last = ours(frames, hidden)
        first, between = ours(frames[:, :9], hidden)
        second, end = ours(frames[:, 9:], between)
    assert off(torch.cat((first, second), 1), whole) < 1e-3
    assert off(end, last) < 1e-3
    assert torch.equal(whole[:, -1], last[-1])


def test_dropout_is_between_the_layers_only_and_in_training_only() -> None:
    frames, hidden = given()
    ours = gru(dropout=0.5)
    assert not torch.equal(ours(frames, hidden)[0], ours(frames, hidden)[0])
    assert torch.equal(ours(frames, hidden)[1][0], ours(frames, hidden)[1][0]), "the first layer hears all"
    assert bool((ours(frames, hidden)[0] != 0).all()), "what the last says is whole"
    ours.eval()
    assert torch.equal(ours(frames, hidden)[0], ours(frames, hidden)[0])
    one = gru(layers=1, dropout=0.0)
    one.dropout = 0.5
    frames, hidden = given(layers=1)
    assert torch.equal(one(frames, hidden)[0], one(frames, hidden)[0])


def test_the_same_twice_is_the_same_to_the_bit() -> None:
    ours, told = gru(), []
    for _ in range(2):
        frames, hidden = given()
        ours.zero_grad()
        ours(frames, hidden)[0].square().mean().backward()
        told.append([weight.grad.clone() for weight in ours.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*told, strict=True))


def test_float32_is_torch_s_own_gru() -> None:
    need_gates()
    ours, (frames, hidden) = gru(), given()
    ours.products = Products.FLOAT32
    torchs = torch.nn.GRU(INPUT, 32, 2, batch_first=True)
    torchs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(frames, hidden)[0], torchs(frames, hidden)[0])


def test_a_net_that_is_loaded_multiplies_in_float32_until_told() -> None:
    net = FloorNet(FloorSizes(hidden=16))
    assert net.gru.products is Products.FLOAT32
    with net.gru.around():
        assert not torch.is_autocast_enabled("cpu")
    net.gru.products = Products.BF16
    with net.gru.around():
        assert torch.is_autocast_enabled("cpu")
