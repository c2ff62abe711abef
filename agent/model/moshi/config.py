"""Shapes and numbers of a Moshi-family model: from its ``config.json``, or the built-in ones. No torch.

The keys are those of ``moshi`` 0.2.13. Old repositories have no ``config.json`` (or one without shapes): they hold the
7B model, whose numbers are built in. What this runner cannot do is refused with the key's name, never ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agent.errors import ModelError
from agent.model.moshi.published import MIMI, MOSHI_7B, TEXT_PADDING

MODEL_FILE: Final = "model.safetensors"
MIMI_FILE: Final = "tokenizer-e351c8d8-checkpoint125.safetensors"
TEXT_FILE: Final = "tokenizer_spm_32k_3.model"
CONFIG_FILE: Final = "config.json"

NOT_GENERATED: Final = -2
"""Token that a row gives while it has nothing to say (before its first frame is whole, or masked)."""
NO_INPUT: Final = -1
"""Token without an embedding: adds nothing."""
TEXT_END_OF_PADDING: Final = 0

_FILE_KEYS: Final = frozenset(
    {
        "moshi_name",
        "mimi_name",
        "mimi_config_name",
        "tokenizer_name",
        "model_type",
        "lm_gen_config",
        "model_id",
        "tts_config",
        "stt_config",
        "version",
    }
)
_FIXED: Final[dict[str, tuple[object, ...]]] = {
    "causal": (True,),
    "layer_scale": (None,),
    "gating": ("silu",),
    "norm": ("rms_norm_f32",),
    "positional_embedding": ("rope",),
    "depformer_layer_scale": (None,),
    "depformer_multi_linear": (True,),
    "depformer_gating": ("silu",),
    "depformer_pos_emb": ("none",),
    "depformer_weights_per_step": (True,),
    "depformer_weights_per_step_schedule": (None,),
    "depformer_low_rank_embeddings": (None,),
    "depformer_norm": (None,),
    "conditioners": (None, {}),
    "fuser": (None, {}),
    "cross_attention": (None, False),
    "demux_second_stream": (None, False),
    "demux_second_text_stream": (None, False),
    "extra_heads_num_heads": (None, 0),
    "extra_heads_dim": (),
    "norm_emb": (None, False),
    "bias_proj": (None, False),
    "quantize": (None, False),
    "kv_repeat": (None, 1),
    "lora": (None, False),
    "lora_rank": (),
    "lora_scaling": (),
    "lora_name": (None, ""),
    "text_card_out": (None,),
    "depformer_causal": (),
    "depformer_context": (),
    "depformer_max_period": (),
}
"""Key to the values that this runner can do; none: the key changes nothing here."""
_FIXED_MIMI: Final[dict[str, tuple[object, ...]]] = {
    "channels": (1,),
    "seanet.channels": (1,),
    "seanet.causal": (True,),
    "seanet.activation": ("ELU",),
    "seanet.activation_params": ({"alpha": 1.0},),
    "seanet.norm": ("none",),
    "seanet.pad_mode": ("constant",),
    "seanet.true_skip": (True,),
    "seanet.disable_norm_outer_blocks": (0,),
    "transformer.causal": (True,),
    "transformer.conv_layout": (True,),
    "transformer.gating": ("none",),
    "transformer.norm": ("layer_norm",),
    "transformer.positional_embedding": ("rope",),
}
MODEL_TYPES: Final = ("moshi", "personaplex")


@dataclass(frozen=True, slots=True, kw_only=True)
class LMConfig:
    """Temporal and depth transformer."""

    dim: int
    layers: int
    heads: int
    hidden: int
    """Inner width of the gated feed-forward."""
    context: int
    """Frames that attention reaches back."""
    max_period: float
    streams: int
    """Audio streams in, of both speakers (``n_q``)."""
    stored_depth_steps: int
    """Depth steps in the file (``dep_q``); PersonaPlex stores 16 and speaks 8."""
    card: int
    """Codes of an audio stream; the code ``card`` itself starts a stream."""
    text_card: int
    delays: tuple[int, ...]
    """Frames by which each stream is behind: text first, then ours, then the caller's."""
    depth_dim: int
    depth_layers: int
    depth_heads: int
    depth_hidden: int
    text_padding: int = TEXT_PADDING

    @property
    def spoken(self) -> int:
        """Audio streams that the model speaks."""
        return self.stored_depth_steps if self.stored_depth_steps < self.streams else self.streams // 2

    @property
    def heard(self) -> int:
        """Audio streams of the caller."""
        return self.streams - self.spoken

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @property
    def max_delay(self) -> int:
        return max(self.delays)


@dataclass(frozen=True, slots=True, kw_only=True)
class MimiConfig:
    """The codec."""

    rate_hz: int
    frame_samples: int
    dimension: int
    filters: int
    residual_layers: int
    compress: int
    dilation_base: int
    kernel: int
    residual_kernel: int
    last_kernel: int
    ratios: tuple[int, ...]
    """Strides of the decoder, first to last; the encoder has them backwards."""
    layers: int
    heads: int
    feed_forward: int
    context: int
    max_period: float
    code_dim: int
    codebooks: int
    """Codebooks in the file."""
    bins: int

    @property
    def hop(self) -> int:
        """Samples of one step of the convolutions."""
        product = 1
        for ratio in self.ratios:
            product *= ratio
        return product

    @property
    def stride(self) -> int:
        """Steps of the convolutions in a frame."""
        return self.frame_samples // self.hop


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Temperature 0 takes the likeliest token."""

    audio_temperature: float = 0.8
    audio_top_k: int = 250
    text_temperature: float = 0.7
    text_top_k: int = 25


GREEDY: Final = Sampling(audio_temperature=0.0, text_temperature=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoshiConfig:
    """A whole model."""

    lm: LMConfig
    mimi: MimiConfig
    sampling: Sampling = field(default_factory=Sampling)
    kind: str = "moshi"
    """``moshi``, or ``personaplex``: takes a voice and a text prompt."""
    model_file: str = MODEL_FILE
    mimi_file: str = MIMI_FILE
    text_file: str = TEXT_FILE

    @property
    def step_ms(self) -> int:
        return 1000 * self.mimi.frame_samples // self.mimi.rate_hz


def builtin(*, kind: str = "moshi") -> MoshiConfig:
    """The 7B model: ``moshi`` (moshiko and moshika), or ``personaplex``."""
    steps = {"dep_q": 16} if kind == "personaplex" else {}
    return MoshiConfig(lm=_lm(MOSHI_7B | steps, CONFIG_FILE), mimi=_mimi(MIMI, "mimi"), kind=kind)


def read_config(folder: Path, *, kind: str | None = None) -> MoshiConfig:
    """The configuration of a checkpoint's folder. Raises ``ModelError`` that names file and key.

    ``kind``: what the weights look like, where the file does not say.
    """
    raw = _read_json(folder / CONFIG_FILE) if (folder / CONFIG_FILE).exists() else {}
    kind = str(raw.get("model_type") or kind or "moshi")
    if kind not in MODEL_TYPES:
        raise ModelError(f"{CONFIG_FILE}: model_type: {kind!r} cannot be served; known: {', '.join(MODEL_TYPES)}")
    shapes = {key: value for key, value in raw.items() if key not in _FILE_KEYS}
    if "dim" not in shapes:
        shapes = MOSHI_7B | ({"dep_q": 16} if kind == "personaplex" else {}) | shapes
    codec = _read_json(folder / str(raw["mimi_config_name"])) if raw.get("mimi_config_name") else MIMI
    return MoshiConfig(
        lm=_lm(shapes, CONFIG_FILE),
        mimi=_mimi(codec, str(raw.get("mimi_config_name") or "mimi")),
        sampling=_sampling(raw.get("lm_gen_config") or {}),
        kind=kind,
        model_file=_file_name(raw, "moshi_name", MODEL_FILE),
        mimi_file=_file_name(raw, "mimi_name", MIMI_FILE),
        text_file=_file_name(raw, "tokenizer_name", TEXT_FILE),
    )


def check_files(folder: Path, *, kind: str | None = None) -> MoshiConfig:
    """The configuration of a folder that holds every file. Raises ``ModelError`` that names what is wrong."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder")
    config = read_config(folder, kind=kind)
    names = (config.model_file, config.mimi_file, config.text_file)
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise ModelError(f"{folder}: missing {', '.join(missing)}")
    return config


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.name}: {error}") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path.name}: must be an object")
    return found


def _file_name(raw: Mapping[str, Any], key: str, default: str) -> str:
    """A plain name: a checkpoint cannot point out of its folder."""
    name = raw.get(key) or default
    if not isinstance(name, str) or Path(name).name != name or name in (".", ".."):
        raise ModelError(f"{CONFIG_FILE}: {key}: {name!r} is not the name of a file in this folder")
    return name


class _Reader:
    """Numbers of one JSON object, with errors that name the key."""

    def __init__(self, raw: Mapping[str, Any], where: str) -> None:
        self.raw, self.where = raw, where

    def fail(self, key: str, reason: str) -> ModelError:
        return ModelError(f"{self.where}: {key}: {reason}")

    def integer(self, key: str, *, default: int | None = None) -> int:
        value = self.raw.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.fail(key, f"must be a whole number of at least 1, not {value!r}")
        return value

    def number(self, key: str, *, default: float | None = None) -> float:
        value = self.raw.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise self.fail(key, f"must be a number above 0, not {value!r}")
        return float(value)

    def integers(self, key: str, *, least: int) -> tuple[int, ...]:
        value = self.raw.get(key)
        if not isinstance(value, list) or not value or not all(type(v) is int and v >= least for v in value):
            raise self.fail(key, f"must be a list of whole numbers of at least {least}, not {value!r}")
        return tuple(value)

    def check_fixed(self, fixed: Mapping[str, tuple[object, ...]], known: frozenset[str], *, prefix: str = "") -> None:
        """Every key is one that is read, or has a value that this runner can do."""
        for key, value in self.raw.items():
            name = prefix + key
            if name in known:
                continue
            if name not in fixed:
                raise self.fail(name, "is unknown")
            allowed = fixed[name]
            if allowed and value not in allowed:
                raise self.fail(name, f"{value!r} cannot be served; only {', '.join(map(repr, allowed))}")


_LM_KEYS: Final = frozenset(
    {
        "dim",
        "text_card",
        "existing_text_padding_id",
        "existing_text_end_padding_id",
        "n_q",
        "dep_q",
        "card",
        "num_heads",
        "num_layers",
        "hidden_scale",
        "context",
        "max_period",
        "delays",
        "depformer_dim",
        "depformer_dim_feedforward",
        "depformer_num_heads",
        "depformer_num_layers",
    }
)


def gated_width(feed_forward: int, dim: int) -> int:
    """Inner width of a gated feed-forward (``moshi.modules.gating.ActivationGating``)."""
    return 21 * dim // 8 if feed_forward == 4 * dim else 2 * feed_forward // 3


def _lm(raw: Mapping[str, Any], where: str) -> LMConfig:
    read = _Reader(raw, where)
    read.check_fixed(_FIXED, _LM_KEYS)
    dim, depth_dim = read.integer("dim"), read.integer("depformer_dim")
    scale = read.number("hidden_scale", default=4.0)
    depth_forward = read.integer("depformer_dim_feedforward", default=int(scale * depth_dim))
    config = LMConfig(
        dim=dim,
        layers=read.integer("num_layers"),
        heads=read.integer("num_heads"),
        hidden=gated_width(int(scale * dim), dim),
        context=read.integer("context"),
        max_period=read.number("max_period", default=10000.0),
        streams=read.integer("n_q"),
        stored_depth_steps=read.integer("dep_q"),
        card=read.integer("card"),
        text_card=read.integer("text_card"),
        delays=read.integers("delays", least=0),
        depth_dim=depth_dim,
        depth_layers=read.integer("depformer_num_layers"),
        depth_heads=read.integer("depformer_num_heads"),
        depth_hidden=gated_width(depth_forward, depth_dim),
        text_padding=read.integer("existing_text_padding_id", default=TEXT_PADDING),
    )
    if len(config.delays) != config.streams + 1:
        raise read.fail("delays", f"{len(config.delays)} for {config.streams} audio streams and text")
    if config.stored_depth_steps > config.streams:
        raise read.fail("dep_q", f"{config.stored_depth_steps} of {config.streams} audio streams")
    for key, width, heads in (("num_heads", dim, config.heads), ("depformer_num_heads", depth_dim, config.depth_heads)):
        if width % (2 * heads):
            raise read.fail(key, f"{heads} heads do not divide a width of {width} evenly")
    return config


def _mimi(raw: Mapping[str, Any], where: str) -> MimiConfig:
    parts = {name: raw.get(name) for name in ("seanet", "quantizer", "transformer")}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise ModelError(f"{where}: {name}: must be an object")
    top = _Reader(raw, where)
    top.check_fixed(_FIXED_MIMI, frozenset({"sample_rate", "frame_rate", *parts}))
    net, quantizer, layers = (_Reader(part or {}, f"{where}: {name}") for name, part in parts.items())
    net.check_fixed(_FIXED_MIMI, _NET_KEYS, prefix="seanet.")
    quantizer.check_fixed(_FIXED_MIMI, _QUANTIZER_KEYS, prefix="quantizer.")
    layers.check_fixed(_FIXED_MIMI, _LAYER_KEYS, prefix="transformer.")
    rate = top.integer("sample_rate")
    config = MimiConfig(
        rate_hz=rate,
        frame_samples=round(rate / top.number("frame_rate")),
        dimension=net.integer("dimension"),
        filters=net.integer("n_filters"),
        residual_layers=net.integer("n_residual_layers"),
        compress=net.integer("compress"),
        dilation_base=net.integer("dilation_base"),
        kernel=net.integer("kernel_size"),
        residual_kernel=net.integer("residual_kernel_size"),
        last_kernel=net.integer("last_kernel_size"),
        ratios=net.integers("ratios", least=1),
        layers=layers.integer("num_layers"),
        heads=layers.integer("num_heads"),
        feed_forward=layers.integer("dim_feedforward"),
        context=layers.integer("context"),
        max_period=layers.number("max_period"),
        code_dim=quantizer.integer("dimension"),
        codebooks=quantizer.integer("n_q"),
        bins=quantizer.integer("bins"),
    )
    _check_mimi(config, top, layers)
    return config


_NET_KEYS: Final = frozenset(
    "seanet." + key
    for key in (
        "dimension",
        "n_filters",
        "n_residual_layers",
        "compress",
        "dilation_base",
        "kernel_size",
        "residual_kernel_size",
        "last_kernel_size",
        "ratios",
    )
)
_QUANTIZER_KEYS: Final = frozenset(
    "quantizer." + key for key in ("dimension", "n_q", "bins", "input_dimension", "output_dimension")
)
_LAYER_KEYS: Final = frozenset(
    "transformer." + key
    for key in (
        "d_model",
        "num_heads",
        "num_layers",
        "layer_scale",
        "context",
        "max_period",
        "dim_feedforward",
        "input_dimension",
        "output_dimensions",
    )
)


def _check_mimi(config: MimiConfig, top: _Reader, layers: _Reader) -> None:
    widths = (
        layers.integer("d_model"),
        layers.integer("input_dimension"),
        *layers.integers("output_dimensions", least=1),
    )
    if any(width != config.dimension for width in widths):
        raise layers.fail("d_model", f"widths {widths} must all be the convolutions' {config.dimension}")
    if config.frame_samples % config.hop:
        raise top.fail("frame_rate", f"{config.frame_samples} samples are no multiple of the hop of {config.hop}")
    if config.stride < 2:
        raise top.fail("frame_rate", "a frame must be at least two steps of the convolutions")
    if config.dimension % (2 * config.heads):
        raise layers.fail("num_heads", f"{config.heads} heads do not divide a width of {config.dimension} evenly")


def _sampling(raw: Mapping[str, Any]) -> Sampling:
    read = _Reader(raw, f"{CONFIG_FILE}: lm_gen_config")
    known = frozenset({"temp", "temp_text", "top_k", "top_k_text"})
    read.check_fixed({"use_sampling": (True, None), "cfg_coef": (1.0, 1, None)}, known)
    return Sampling(
        audio_temperature=read.number("temp", default=0.8),
        audio_top_k=read.integer("top_k", default=250),
        text_temperature=read.number("temp_text", default=0.7),
        text_top_k=read.integer("top_k_text", default=25),
    )
