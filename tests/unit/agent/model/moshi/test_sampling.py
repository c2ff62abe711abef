"""Noise that belongs to a row: the right distribution, and never the neighbours'."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the extra gpu is not installed")

from agent.model.moshi.sampling import row_keys, sample, uniform  # noqa: E402

DRAWS = 20000


def draws(logits: list[float], *, temperature: float, top_k: int) -> list[float]:
    """Share of each token over many rows of one seed each."""
    many = torch.tensor(logits).expand(DRAWS, -1)
    found = sample(many, torch.arange(DRAWS), torch.full((DRAWS,), 3), 1, temperature=temperature, top_k=top_k)
    return (torch.bincount(found, minlength=len(logits)) / DRAWS).tolist()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_the_softmax_says(temperature: float) -> None:
    logits = [2.0, 0.0, 1.0, -1.0]
    wanted = torch.softmax(torch.tensor(logits) / temperature, 0).tolist()
    assert draws(logits, temperature=temperature, top_k=4) == pytest.approx(wanted, abs=0.015)


def test_only_the_likeliest_are_drawn_from() -> None:
    assert draws([2.0, 0.0, 1.0, -1.0], temperature=1.0, top_k=2)[1::2] == [0.0, 0.0]
    assert draws([2.0, 0.0, 1.0, -1.0], temperature=0.0, top_k=4) == [1.0, 0.0, 0.0, 0.0]


def test_a_rows_draw_depends_on_seed_position_and_stream_alone() -> None:
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(1))
    seeds, positions = torch.tensor([1, 2, 3, 4, 5, 2**40]), torch.tensor([9, 9, 9, 10, 9, 9])

    def drawn(rows: list[int], stream: int = 0) -> list[int]:
        found: list[int] = sample(
            logits[rows], seeds[rows], positions[rows], stream, temperature=1.0, top_k=50
        ).tolist()
        return found

    everybody = drawn([0, 1, 2, 3, 4, 5])
    assert [drawn([row])[0] for row in range(6)] == everybody
    assert drawn([5, 4, 3, 2, 1, 0]) == everybody[::-1]
    assert drawn([0, 1, 2, 3, 4, 5], stream=1) != everybody


def test_noise_is_even_between_seeds_positions_streams_and_tokens() -> None:
    seeds = torch.arange(64).repeat_interleave(16)
    positions = torch.arange(16).repeat(64)
    noise = torch.stack(
        [uniform(row_keys(seeds, positions, stream), torch.arange(32).expand(1024, -1)) for stream in range(4)]
    )
    assert noise.min() > 0
    assert noise.max() < 1
    for axis in range(3):
        means = noise.mean(tuple(a for a in range(3) if a != axis))
        spread = (noise.numel() / len(means) * 12) ** -0.5  # of the mean of so many even numbers
        assert (means - 0.5).abs().max() < 5 * spread
    flat = noise.flatten()
    assert abs(float(torch.corrcoef(torch.stack((flat[:-1], flat[1:])))[0, 1])) < 0.01
    assert len(flat.unique()) > 0.99 * len(flat)
