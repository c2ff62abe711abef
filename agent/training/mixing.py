"""The same calls over ever new lines: levels, noise, rooms, echo, bands, codecs and loss, mixed into log-mel features.

Stems (``make --stems``: calls before the line) are mixed as powers, on CPU or GPU, a new line for each pass. What this
leaves out against ``agent.training.channel`` is phase: where two sounds are about as loud, their sum is smoother than a
real one. So a net that was trained on this is finished on exact calls.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from agent.expectation import NOTHING_KNOWN
from agent.model.small.expectation import vector
from agent.model.small.features import BANDS, FLOOR_DB, HOP, RATE_HZ, STEP_DB, WINDOW, mel_centres_hz
from agent.training.channel.line import CLEAN_DB, MAX_ECHO_DB, MIN_ECHO_DB
from agent.training.conversation.labels import NOT_ASKED, Overlap, Sound
from agent.training.voices.persona import LEVEL_DB

PER_FRAME: Final = 4
"""Feature frames (10 ms) in one frame of the labels."""
SILENT: Final = 10 ** (FLOOR_DB / 10)
LOUDEST_DB, SOFTEST_DB = -14.0, -36.0
NOISE_ROWS: Final = 32
"""So many different stretches of white noise are kept; each row gets one of them from anywhere."""
TEXTURE_S: Final = 41
MAX_MASKED: Final = 6
FORGOTTEN: Final = 0.07
CONCEALED_DB: Final = (0.0, 0.0, -2.0, -4.5, -8.0, -14.0, -90.0)
"""What is left of the last sound so many 10 ms into a loss (G.711 Appendix I, as ``telephony.audio.plc`` does it)."""
Stems = dict[str, Tensor]


def mixed(stems: Stems, generator: torch.Generator) -> Stems:
    """``mel_caller``, ``mel_own`` uint8 ``[B, 4 T, 40]`` and labels ``[B, T]`` over new lines; shapes stay."""
    draw = Draw(generator, len(stems["mel_caller"]), stems["mel_caller"].device)
    caller = power(warped(stems["mel_caller"], draw))
    own = power(stems["mel_own"])
    level_db = draw.between(SOFTEST_DB, LOUDEST_DB)
    sound = caller * _gain(level_db - LEVEL_DB) * _gain(_swing_db(caller.shape[1], draw))
    floor_db = torch.where(
        draw.chance(0.65), level_db - draw.triangular(30.0, 20.0), torch.full_like(level_db, CLEAN_DB)
    )
    line = (sound + noise(caller, floor_db, draw)) * _gain(band_db(draw))
    echo = echo_of(own, draw)
    out = dict(stems)
    heard = codec(line + echo, draw)
    out["mel_caller"] = masked(codes(lossy(heard, draw)), draw)
    out["mel_own"] = codes(own * _gain(draw.between(-6, 6)))
    _mark_echo(out, echo, floor_db)
    return out


def paced(calls: Stems, draw: Draw) -> Stems:
    """The same calls up to 12 % slower or 9 % quicker, sound and labels alike; behind their end nothing is asked."""
    frames = calls["speech"].shape[1]
    factor = draw.between(0.88, 1.09, 1)
    mel_at = torch.arange(PER_FRAME * frames, device=draw.device) * factor
    at = (torch.arange(frames, device=draw.device) + 0.5) * factor - 0.5
    nearest = at.round().long().clamp(0, frames - 1)
    beyond = at > frames - 1
    out = dict(calls)
    for name, value in calls.items():
        if name.startswith("mel_"):
            out[name] = _stretched(value, mel_at)
        elif name == "expect":
            out[name] = value.gather(1, nearest.unsqueeze(2).expand(value.shape))
        else:
            quiet = 0 if name in ("own", "sound") else NOT_ASKED
            out[name] = torch.where(beyond, torch.full_like(value, quiet), value.gather(1, nearest))
    return out


def forgotten(expect: Tensor, draw: Draw) -> Tensor:
    """Expectations ``[B, frames, SIZE]``, in one of fourteen calls taken away."""
    nothing = torch.from_numpy(vector(NOTHING_KNOWN)).to(expect.device, expect.dtype)
    return torch.where(draw.chance(FORGOTTEN), nothing, expect)


def _stretched(found: Tensor, at: Tensor) -> Tensor:
    """Codes ``[B, t, 40]`` read at the fractional frames ``[B, t]``; silence beyond the end."""
    last = found.shape[1] - 1
    low = at.floor().long().clamp(0, last)
    high = (low + 1).clamp(max=last)
    part = (at - low).clamp(0, 1).unsqueeze(2)
    left, right = (found.gather(1, index.unsqueeze(2).expand(found.shape)).float() for index in (low, high))
    between = torch.where((left > 0) & (right > 0), left + (right - left) * part, torch.where(part < 0.5, left, right))
    return torch.where((at > last).unsqueeze(2), torch.zeros_like(between), between).round().to(torch.uint8)


class Draw:
    """Random numbers, one for each row: ``[B, 1, 1]``."""

    def __init__(self, generator: torch.Generator, rows: int, device: torch.device) -> None:
        self.generator, self.rows, self.device = generator, rows, device

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand((self.rows, *(shape or (1, 1))), generator=self.generator, device=self.device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn((self.rows, *(shape or (1, 1))), generator=self.generator, device=self.device)

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * self.uniform(*shape)

    def chance(self, share: float, *shape: int) -> Tensor:
        return self.uniform(*shape) < share

    def triangular(self, high: float, mode: float) -> Tensor:
        """From 0 to ``high``, most likely ``mode``."""
        draw, edge = self.uniform(), mode / high
        rise = torch.sqrt(draw * high * mode)
        return torch.where(draw < edge, rise, high - torch.sqrt((1 - draw) * high * (high - mode)))

    def permuted(self) -> Tensor:
        return torch.randperm(self.rows, generator=self.generator, device=self.device)


def power(found: Tensor) -> Tensor:
    """Codes as powers; what no code tells apart from silence has none."""
    return torch.exp((found.float() * STEP_DB + FLOOR_DB) * (torch.log(torch.tensor(10.0)).item() / 10)) * (found > 0)


def codes(found: Tensor) -> Tensor:
    """Powers as codes."""
    level = 10 * torch.log10(found + SILENT)
    return torch.clamp(torch.round((level - FLOOR_DB) / STEP_DB), 0, 255).to(torch.uint8)


def warped(found: Tensor, draw: Draw) -> Tensor:
    """In half of the rows another throat: all formants up or down by up to 8 %."""
    factor = torch.where(draw.chance(0.5), draw.between(0.92, 1.08), torch.ones_like(draw.uniform()))
    at = (torch.arange(BANDS, device=draw.device).view(1, 1, -1) * factor).clamp(0, BANDS - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=BANDS - 1)
    part = at - low
    shape = found.shape
    value = found.float()
    return value.gather(2, low.expand(shape)) * (1 - part) + value.gather(2, high.expand(shape)) * part


def noise(caller: Tensor, floor_db: Tensor, draw: Draw) -> Tensor:
    """A bed of ``floor_db``: coloured noise, hum, murmurs of other calls; steady or swelling."""
    frames = caller.shape[1]
    white = _texture(str(draw.device))
    rows = torch.randint(0, len(white), (draw.rows,), generator=draw.generator, device=draw.device)
    starts = torch.randint(0, white.shape[1] - frames + 1, (draw.rows, 1), generator=draw.generator, device=draw.device)
    at = starts + torch.arange(frames, device=draw.device)
    bed = white[rows.unsqueeze(1), at] * _gain(_curve_db(draw, 6, 9.0) - draw.between(0, 18) * _tilt(draw.device))
    murmurs = torch.zeros_like(caller)
    for _ in range(4):
        other = torch.roll(caller[draw.permuted()], int(frames * float(draw.uniform()[0, 0, 0])), dims=1)
        murmurs = murmurs + other * _gain(draw.between(-8, 0))
    murmurs = murmurs * (_mean_power(bed) / (_mean_power(murmurs) + SILENT))
    babble = draw.chance(0.2)
    bed = torch.where(babble, 0.9 * murmurs + 0.1 * bed, bed)
    swell = draw.between(0.2, 1, 1, 24).expand(-1, 1, -1)
    swelling = functional.interpolate(swell, size=frames, mode="linear").transpose(1, 2) ** 2
    bed = torch.where(draw.chance(0.45), bed * swelling, bed)
    # The bed's level is that of its sound, all bands together, as a meter tells it.
    return bed * (10 ** (floor_db / 10) * _bandwidth(draw.device) / (_mean_power(bed) + SILENT))


def band_db(draw: Draw) -> Tensor:
    """What the way does to the bands: a telephone's filter, or a small loudspeaker's ripples too."""
    hz = _centres(draw.device)
    handset = draw.chance(0.5)
    low = torch.where(handset, draw.between(200, 500), draw.between(50, 300))
    high = torch.where(handset, draw.between(2400, 3600), draw.between(3200, 3900))
    order = torch.where(handset, torch.full_like(low, 6.0), torch.full_like(low, 12.0))
    down = -10 * torch.log10(1 + (low / hz) ** order)
    up = -10 * torch.log10(
        1 + (hz / high) ** torch.where(handset, torch.full_like(low, 8.0), torch.full_like(low, 36.0))
    )
    return (down + up).clamp(min=-60) + torch.where(handset, _curve_db(draw, 7, 5.0), torch.zeros_like(low))


def echo_of(own: Tensor, draw: Draw) -> Tensor:
    """Our voice back from the far end: late, smeared, through a small loudspeaker; none in two of five rows."""
    frames = own.shape[1]
    late = torch.randint(2, 41, (draw.rows, 1), generator=draw.generator, device=draw.device)
    at = torch.arange(frames, device=draw.device).unsqueeze(0) - late
    shifted = own.gather(1, at.clamp(min=0).unsqueeze(2).expand(own.shape)) * (at >= 0).unsqueeze(2)
    length = 24
    fall_db = -60 / draw.between(3, 24) * torch.arange(length, device=draw.device)
    kernel = 10 ** (fall_db / 10)
    tail = draw.between(0, 0.8) * kernel / kernel.sum(2, keepdim=True)
    tail[..., 0] += 1
    smeared = _along_time(shifted, tail)
    path = smeared * _gain(band_db(draw))
    wanted = 10 ** (draw.between(MIN_ECHO_DB, MAX_ECHO_DB) / 10) * _mean_power(own)
    scaled = path * (wanted / (_mean_power(path) + SILENT))
    return torch.where(draw.chance(0.6), scaled, torch.zeros_like(scaled))


def codec(found: Tensor, draw: Draw) -> Tensor:
    """G.711's quantising noise; in a fifth a low-rate codec's narrow band and coarse spectrum."""
    mobile = draw.chance(0.2)
    hz = _centres(draw.device)
    low, high = draw.between(180, 320), draw.between(2900, 3500)
    narrow = (-10 * torch.log10(1 + (low / hz) ** 12) - 10 * torch.log10(1 + (hz / high) ** 36)).clamp(min=-70)
    rough = draw.normal(found.shape[1], BANDS) * draw.between(0.3, 1.2)
    through = torch.where(mobile, found * _gain(narrow + rough), found)
    step = through.sum(2, keepdim=True) / BANDS * 10 ** (-draw.between(30, 36) / 10) + 10 ** (
        -draw.between(80, 86) / 10
    )
    return through + step * draw.between(0.4, 1.6, found.shape[1], BANDS)


def lossy(found: Tensor, draw: Draw) -> Tensor:
    """In two of five rows packets of 20 ms are lost, in bursts: the last sound goes on and falls."""
    packets = found.shape[1] // 2
    share = torch.where(draw.chance(0.4, 1), draw.between(0.003, 0.05, 1), torch.zeros_like(draw.uniform(1)))
    first = draw.uniform(packets) < share / 2
    second = torch.roll(first, 1, dims=1) & draw.chance(0.5, packets)
    third = torch.roll(second, 1, dims=1) & draw.chance(0.6, packets)
    long = (
        functional.max_pool1d((draw.uniform(packets) < (share > 0) * 0.0006).float().unsqueeze(1), 5, 1, 2)
        .squeeze(1)
        .bool()
    )
    lost = (first | second | third | long).repeat_interleave(2, dim=1)
    lost = functional.pad(lost, (0, found.shape[1] - lost.shape[1]))
    count = torch.arange(found.shape[1], device=found.device)
    last = torch.cummax(torch.where(lost, torch.zeros_like(count), count), dim=1).values
    kept = found.gather(1, last.unsqueeze(2).expand(found.shape))
    fall_db = torch.tensor(CONCEALED_DB, device=found.device)
    return kept * _gain(fall_db[(count - last).clamp(max=len(CONCEALED_DB) - 1)].unsqueeze(2))


def masked(found: Tensor, draw: Draw) -> Tensor:
    """In half of the rows a few neighbouring bands are gone."""
    width = draw.between(1, MAX_MASKED + 1).floor()
    first = (draw.uniform() * (BANDS - width)).floor()
    at = torch.arange(BANDS, device=draw.device).view(1, 1, -1)
    gone = (at >= first) & (at < first + width) & draw.chance(0.5)
    return torch.where(gone, torch.zeros_like(found), found)


def _mark_echo(out: Stems, echo: Tensor, floor_db: Tensor) -> None:
    """Where our voice comes back above the noise: its labels."""
    loud = echo.sum(2) / _bandwidth(echo.device) > 10 ** (floor_db.squeeze(2) / 10)
    frames = loud.shape[1] // PER_FRAME
    share = loud[:, : frames * PER_FRAME].view(-1, frames, PER_FRAME).float().mean(2)
    audible = functional.max_pool1d((share >= 0.5).float().unsqueeze(1), 3, 1, 1).squeeze(1) > 0
    sound, overlap = out["sound"], out["overlap"]
    out["sound"] = torch.where(audible, sound | int(Sound.ECHO), sound)
    quiet = (overlap == int(Overlap.NONE)) & audible
    out["overlap"] = torch.where(quiet, torch.full_like(overlap, int(Overlap.ECHO)), overlap)


def _gain(level_db: Tensor) -> Tensor:
    return torch.exp(level_db * 0.23025851)


def _mean_power(found: Tensor) -> Tensor:
    """Of the louder part: mean over frames and bands where anything sounds, ``[B, 1, 1]``."""
    each = found.sum(2)
    sounding = each > 1e-3 * each.amax(1, keepdim=True)
    return ((each * sounding).sum(1) / sounding.sum(1).clamp(min=1)).view(-1, 1, 1)


def _swing_db(frames: int, draw: Draw) -> Tensor:
    """A level that wanders, in three of ten rows."""
    points = draw.between(-1, 0, 1, 27) * draw.between(0, 8) * draw.chance(0.3)
    return functional.interpolate(points, size=frames, mode="linear").transpose(1, 2)


def _curve_db(draw: Draw, points: int, depth_db: float) -> Tensor:
    """A smooth random curve over the bands, ``[B, 1, 40]``."""
    return functional.interpolate(draw.between(-depth_db, depth_db, 1, points), size=BANDS, mode="linear")


def _along_time(found: Tensor, kernel: Tensor) -> Tensor:
    """Each row's bands through its own causal kernel ``[B, 1, n]``."""
    rows, frames, bands = found.shape
    length = kernel.shape[2]
    line = functional.pad(found.permute(2, 0, 1), (length - 1, 0))
    return functional.conv1d(line, kernel.flip(2), groups=rows).permute(1, 2, 0).reshape(rows, frames, bands)


@lru_cache(maxsize=4)
def _centres(device: torch.device) -> Tensor:
    return torch.tensor(mel_centres_hz(), dtype=torch.float32, device=device).view(1, 1, -1)


@lru_cache(maxsize=4)
def _tilt(device: torch.device) -> Tensor:
    return torch.linspace(0, 1, BANDS, device=device).view(1, 1, -1)


@lru_cache(maxsize=4)
def _texture(device: str) -> Tensor:
    """Powers of white noise, ``[32, 4100, 40]``, mean 1 in each band; neighbours in time share samples."""
    from agent.model.small.features import filters, window

    generator = torch.Generator().manual_seed(7)
    samples = torch.randn((NOISE_ROWS, TEXTURE_S * RATE_HZ), generator=generator)
    pieces = samples.unfold(1, WINDOW, HOP)
    weights, shape = torch.from_numpy(filters()), torch.from_numpy(window())
    spectra = [torch.fft.rfft(rows * shape, 256).abs().square() @ weights for rows in pieces]
    found = torch.stack(spectra)
    return (found / found.mean((0, 1))).to(device)


@lru_cache(maxsize=4)
def _bandwidth(device: torch.device) -> float:
    """Sum of all bands for white noise of power 1: from a meter's level to the bands' sum."""
    from agent.model.small.features import filters, window

    power_density = float((window() ** 2).sum())
    return float(filters().sum() * power_density)
