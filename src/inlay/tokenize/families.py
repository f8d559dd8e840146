"""The tokenizers of the model families: their special tokens, what they put around a text, and how they rewrite it.

Each is built as transformers 5.23 builds it, which is not always as it was before: the `<mask>` of a RoBERTa vocabulary
takes in no space unless the folder says so, and T5 and ALBERT have the unknown piece at a fixed id.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inlay.errors import InputError
from inlay.tokenize import sentencepiece, vocabulary
from inlay.tokenize.settings import Settings, Special

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

_BRACKETS = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
_ANGLES = {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "sep": "</s>", "pad": "<pad>", "cls": "<s>", "mask": "<mask>"}
_START = "▁"

WITHOUT_SEGMENTS = ("input_ids", "attention_mask")
INPUTS = ("input_ids", "token_type_ids", "attention_mask")
"""What a model takes, by the names that transformers gives it; `token_type_ids` are the segments."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """An engine before its special tokens are in it."""

    engine: "Engine"
    extra: tuple[Special, ...] | None = None
    """Special tokens that the vocabulary itself tells of."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """How one family of models makes tokens of text."""

    name: str
    files: tuple[str, ...]
    """The files that hold its vocabulary."""
    build: Callable[[Path, Settings, str], Built]
    """The engine of a folder with those files; the last argument is the unknown token."""
    roles: Mapping[str, str]
    """Its special tokens, where the folder names no others."""
    single: str
    """What stands around one text, by role, and the segment of each part: `cls:0 $A:0 sep:0`."""
    pair: str
    lstrip: tuple[str, ...] = ()
    """Roles whose tokens take in the spaces before them."""
    inputs: tuple[str, ...] = WITHOUT_SEGMENTS
    """What its models take."""
    padding_side: str = "right"
    trim: bool = False
    """Whether the place of a token in the text leaves out the space before it."""


def _wordpiece(folder: Path, settings: Settings, unknown: str) -> Built:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokens = vocabulary.wordpieces(folder / "vocab.txt")
    if unknown not in tokens:
        raise InputError(f"{folder / 'vocab.txt'}: has no {unknown!r}, the token of what is unknown; copy it again")
    engine = Tokenizer(models.WordPiece(vocab=tokens, unk_token=unknown))
    engine.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.options.get("tokenize_chinese_chars", True),
        strip_accents=settings.options.get("strip_accents"),
        lowercase=settings.options.get("do_lower_case", True),
    )
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.WordPiece(prefix="##")
    return Built(engine=engine)


def _byte_pairs(folder: Path, settings: Settings, unknown: str) -> Built:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens, merges = vocabulary.byte_pairs(folder / "vocab.json", folder / "merges.txt")
    engine = Tokenizer(
        models.BPE(vocab=tokens, merges=merges, continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False)
    )
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=settings.options.get("add_prefix_space", False))
    engine.decoder = decoders.ByteLevel()
    return Built(engine=engine)


def _t5(folder: Path, settings: Settings, unknown: str) -> Built:
    pieces = sentencepiece.read(folder / "spiece.model")
    numbers = range(settings.options.get("extra_ids", 100))
    sentinels = [(f"<extra_id_{number}>", 0.0) for number in reversed(numbers)]
    controls = _controls(pieces) + tuple(Special(content=f"<extra_id_{number}>") for number in numbers)
    engine = _unigram([*pieces.scores, *sentinels], 2, pieces.charsmap, folder)
    return Built(engine=engine, extra=controls)


def _albert(folder: Path, settings: Settings, unknown: str) -> Built:
    return _quoted(
        sentencepiece.read(folder / "spiece.model"),
        folder,
        unknown=1,
        keep_accents=settings.options.get("keep_accents", False),
        lowercase=settings.options.get("do_lower_case", True),
        prefix=settings.options.get("add_prefix_space", True),
    )


def _xlnet(folder: Path, settings: Settings, unknown: str) -> Built:
    pieces = sentencepiece.read(folder / "spiece.model")
    return _quoted(pieces, folder, unknown=pieces.unknown, lowercase=settings.options.get("do_lower_case", False))


def _quoted(
    pieces: sentencepiece.Pieces,
    folder: Path,
    *,
    unknown: int,
    lowercase: bool,
    keep_accents: bool = False,
    prefix: bool = True,
) -> Built:
    """The unigram engine of ALBERT and XLNet: one kind of quotes, accents dropped, lower-cased where asked for."""
    from tokenizers import normalizers

    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    steps += [] if keep_accents else [normalizers.NFKD(), normalizers.StripAccents()]
    steps += [normalizers.Lowercase()] if lowercase else []
    engine = _unigram(list(pieces.scores), unknown, pieces.charsmap, folder, steps=steps, prefix=prefix)
    return Built(engine=engine, extra=_controls(pieces))


def _unigram(
    scores: list[tuple[str, float]],
    unknown: int,
    charsmap: bytes,
    folder: Path,
    *,
    steps: Sequence[Any] = (),
    prefix: bool = True,
) -> "Engine":
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    if not 0 <= unknown < len(scores):
        raise InputError(f"{folder / 'spiece.model'}: has {len(scores)} pieces, and the unknown one is {unknown}")
    engine = Tokenizer(models.Unigram(scores, unk_id=unknown, byte_fallback=False))
    steps = [*steps, normalizers.Precompiled(charsmap)] if charsmap else [*steps]
    if steps:
        engine.normalizer = normalizers.Sequence(steps)
    scheme = "always" if prefix else "never"
    spaces = pre_tokenizers.Metaspace(replacement=_START, prepend_scheme=scheme)
    engine.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), spaces])
    engine.decoder = decoders.Metaspace(replacement=_START, prepend_scheme=scheme)
    return engine


def _controls(pieces: sentencepiece.Pieces) -> tuple[Special, ...]:
    return tuple(Special(content=name, special=special, normalized=False) for name, special in pieces.controls)


BERT = Family(
    name="BERT",
    files=("vocab.txt",),
    build=_wordpiece,
    roles=_BRACKETS,
    single="cls:0 $A:0 sep:0",
    pair="cls:0 $A:0 sep:0 $B:1 sep:1",
    inputs=INPUTS,
)
GPT2 = Family(
    name="GPT-2",
    files=("vocab.json", "merges.txt"),
    build=_byte_pairs,
    roles={"bos": "<|endoftext|>", "eos": "<|endoftext|>", "unk": "<|endoftext|>"},
    single="$A:0",
    pair="$A:0 $B:1",
)
ROBERTA = replace(
    GPT2,
    name="RoBERTa",
    roles=_ANGLES,
    single="cls:0 $A:0 sep:0",
    pair="cls:0 $A:0 sep:0 sep:0 $B:0 sep:0",
    trim=True,
)
T5 = Family(
    name="T5",
    files=("spiece.model",),
    build=_t5,
    roles={"eos": "</s>", "unk": "<unk>", "pad": "<pad>"},
    single="$A:0 eos:0",
    pair="$A:0 eos:0 $B:0 eos:0",
)
ALBERT = replace(
    BERT,
    name="ALBERT",
    files=("spiece.model",),
    build=_albert,
    roles={"bos": "[CLS]", "eos": "[SEP]"} | _BRACKETS | {"unk": "<unk>", "pad": "<pad>"},
)
XLNET = Family(
    name="XLNet",
    files=("spiece.model",),
    build=_xlnet,
    roles=_ANGLES | {"sep": "<sep>", "cls": "<cls>"},
    single="$A:0 sep:0 cls:2",
    pair="$A:0 sep:0 $B:1 sep:1 cls:2",
    lstrip=("mask",),
    inputs=INPUTS,
    padding_side="left",
)
DISTILBERT = replace(BERT, name="DistilBERT", inputs=WITHOUT_SEGMENTS)

CLASSES = {
    "BertTokenizer": BERT,
    "ElectraTokenizer": BERT,
    "DistilBertTokenizer": DISTILBERT,
    "RobertaTokenizer": ROBERTA,
    "BartTokenizer": ROBERTA,
    "GPT2Tokenizer": GPT2,
    "T5Tokenizer": T5,
    "AlbertTokenizer": ALBERT,
    "XLNetTokenizer": XLNET,
}
MODEL_TYPES = {
    "bert": BERT,
    "electra": BERT,
    "distilbert": DISTILBERT,
    "roberta": ROBERTA,
    "bart": ROBERTA,
    "gpt2": GPT2,
    "t5": T5,
    "mt5": T5,
    "albert": ALBERT,
    "xlnet": XLNET,
}
