"""The model of a training: a preset, what of it is changed, and what follows from the tokenizer and the texts."""

from dataclasses import dataclass, field, replace
from typing import Any

from inlay.config import override
from inlay.convert.families import FAMILIES
from inlay.errors import InputError
from inlay.model.input import Table
from inlay.model.model import ModelConfig
from inlay.model.position import Learned
from inlay.model.presets import preset, resize
from inlay.model.stack import Stack
from inlay.tokenize.tokenizer import Tokenizer

_SIZES = ("n_layers", "d_model", "n_heads", "d_ffn")
_COUNTED_FROM_PADDING = ("roberta", "xlm-roberta", "camembert")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A preset, its sizes, and anything else of it: `encoder: {activation: silu}`, `input: {n_segments: 0}`."""

    preset: str | None = None
    """Such as bert-tiny (`inlay show` lists them); null: that of init.model."""
    n_layers: int | None = None
    """Blocks of each stack."""
    d_model: int | None = None
    """Numbers of a row."""
    n_heads: int | None = None
    """Attention heads."""
    d_ffn: int | None = None
    """Inner width of the feed-forward layer."""
    d_embed: int | None = None
    """Numbers of a token vector, where they are not d_model."""
    dropout: float | None = None
    """How much training leaves out of the input, of what layers add, and of attention weights."""
    input: dict[str, Any] = field(default_factory=dict)
    """What else of the input layer is another; vocab_size follows the tokenizer unless it is said."""
    encoder: dict[str, Any] = field(default_factory=dict)
    """What else of the encoder is another."""
    decoder: dict[str, Any] = field(default_factory=dict)
    """What else of the decoder is another."""
    heads: tuple[Any, ...] | None = None
    """Other heads than the preset's."""
    init: dict[str, Any] = field(default_factory=dict)
    """What else of the first weights is another."""
    family: str | None = None
    """The layout in which weights are saved; '' is inlay's own, which holds everything."""

    def build(self, known: ModelConfig | None = None) -> ModelConfig:
        """The literal; `known` is that of the model to begin with, if there is one."""
        if self.preset is None and known is None:
            raise InputError("model.preset is missing; set it, for example to bert-tiny (inlay show lists all)")
        config = known if self.preset is None else preset(self.preset)
        assert config is not None
        more: dict[str, Any] = {
            name: tree for name in ("input", "encoder", "decoder", "init") if (tree := getattr(self, name))
        }
        more |= {name: value for name in ("heads", "family") if (value := getattr(self, name)) is not None}
        for name in ("encoder", "decoder"):
            if name in more and getattr(config, name) is None:
                raise InputError(f"model.{name} is set, but {self.preset or 'the model'} has none; leave it out")
        config = self._dropped_out(self._resized(config))
        changes = {f"model.{name}": list(value) if isinstance(value, tuple) else value for name, value in more.items()}
        return override({"model": config}, changes, dict[str, ModelConfig])["model"] if changes else config

    def _resized(self, config: ModelConfig) -> ModelConfig:
        given = {name: value for name in _SIZES if (value := getattr(self, name)) is not None}
        wide: dict[str, Any] = {} if self.d_embed is None else {"d_embed": self.d_embed}
        if not given:
            return replace(config, input=replace(config.input, **wide))
        stack = config.decoder or config.encoder
        assert stack is not None
        same = {"d_model", "n_heads"}.isdisjoint(given)
        sizes = {name: getattr(stack, name) for name in _SIZES} | given
        return resize(config, **sizes, d_head=stack.d_head if same else 0, **wide)

    def _dropped_out(self, config: ModelConfig) -> ModelConfig:
        if (p := self.dropout) is None:
            return config

        def of(stack: Stack | None) -> Stack | None:
            return stack and replace(stack, dropout=replace(stack.dropout, hidden=p, attention=p, ffn=0.0))

        layer = replace(config.input, dropout=p)
        return replace(config, input=layer, encoder=of(config.encoder), decoder=of(config.decoder))

    def fitted(self, config: ModelConfig, tokenizer: Tokenizer, length: int) -> ModelConfig:
        """The literal for this tokenizer and texts of that many tokens: table, padding and positions follow them."""
        layer = config.input
        said = self.input.get("vocab_size")
        if said is not None and said < tokenizer.size:
            raise InputError(
                f"model.input.vocab_size={said} is less than the {tokenizer.size} ids of the tokenizer; leave it out"
            )
        offset = layer.position.offset if isinstance(layer.position, Learned) else 0
        if isinstance(layer.token, Table) and layer.token.padding is not None:
            pad = tokenizer.vocabulary.get(tokenizer.roles.get("pad", ""))
            layer = replace(layer, token=replace(layer.token, padding=pad))
            if config.family in _COUNTED_FROM_PADDING:
                offset = 0 if pad is None else pad + 1
        if isinstance(layer.position, Learned):
            rows = self.input.get("position", {}).get("max_len")
            if rows is not None and rows < length + offset:
                raise InputError(
                    f"model.input.position.max_len={rows} is too short for texts of {length} tokens; "
                    f"it takes {length + offset}: leave it out, or make data.packing.length shorter"
                )
            rows = rows or max(layer.position.max_len, length + offset)
            layer = replace(layer, position=replace(layer.position, max_len=rows, offset=offset))
        return replace(config, input=replace(layer, vocab_size=said or tokenizer.size))


def check_savable(config: ModelConfig) -> None:
    """InputError where the family's layout cannot hold such a model: better before it is trained than after."""
    family = FAMILIES.get(config.family)
    if family is not None:
        family.settings(config, config.build(device="meta").state_dict())
