"""Learn an engine of each kind from a stream of texts; the same texts give the same tokenizer in every process."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from inlay.errors import InputError
from inlay.tokenize.kinds import BPE, ByteBPE, Bytes, Characters, TokenizerConfig, Unigram, WordPiece, Words, _Learned
from inlay.tokenize.writing import byte_letters

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

_START = "▁"


def learn(texts: Iterator[str], config: TokenizerConfig) -> "Engine":
    """A trained engine. Memory holds the distinct words; for the BPE-like kinds in Chinese, the distinct clauses."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    engine = Tokenizer(models.BPE())
    spaces = pre_tokenizers.Metaspace()
    match config:
        case Bytes():
            engine = Tokenizer(models.BPE(vocab=_byte_vocabulary(config.specials), merges=[]))
            engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
            engine.decoder = decoders.ByteLevel()
        case ByteBPE():
            engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            engine.decoder = decoders.ByteLevel()
            engine.normalizer = _normalizer(config)
            _fit(engine, texts, config, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
        case WordPiece():
            engine = _wordpiece(texts, config)
            engine.decoder = decoders.WordPiece(prefix="##")
        case BPE():
            engine = Tokenizer(models.BPE(unk_token="[UNK]"))
            engine.pre_tokenizer = pre_tokenizers.Sequence([spaces, pre_tokenizers.Punctuation()])
            engine.decoder = decoders.Metaspace()
            engine.normalizer = _normalizer(config)
            limit = max(config.size // 2, 1)
            letters = _Letters(texts, engine.normalizer)
            _fit(engine, letters, config, size=config.size + limit, limit_alphabet=limit)
            engine.model = _cut(engine, config, letters.rarest(limit))
        case Unigram():
            engine = _unigram(texts, config)
            engine.decoder = decoders.Metaspace()
        case Characters() | Words():
            engine = Tokenizer(models.WordLevel(unk_token="[UNK]"))
            if isinstance(config, Characters):
                engine.pre_tokenizer = pre_tokenizers.Split(_regex(r"[\s\S]"), "isolated")
                engine.decoder = decoders.Fuse()
            else:
                engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            engine.normalizer = _normalizer(config)
            _fit(engine, texts, config)
    engine.add_special_tokens(list(config.specials))
    frame(engine, config.specials)
    return engine


def frame(engine: "Engine", specials: tuple[str, ...]) -> None:
    """Have the engine put [CLS] before and [SEP] after a text, where it has both."""
    from tokenizers import processors

    if {"[CLS]", "[SEP]"} <= set(specials):
        engine.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(name, engine.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
        )


def bert_normalizer(*, lowercase: bool, strip_accents: bool, form: str | None, isolate_chinese: bool) -> Any:
    """Control characters out, white space to spaces, each Chinese character set off if asked for."""
    from tokenizers import normalizers

    bert = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=isolate_chinese, strip_accents=strip_accents, lowercase=lowercase
    )
    return normalizers.Sequence([getattr(normalizers, form)(), bert]) if form else bert


def _wordpiece(texts: Iterator[str], config: WordPiece) -> "Engine":
    # The engine's own WordPiece trainer numbers the `##` characters in the order of a hash map, and ties between pairs
    # are broken by number, so its vocabulary changes from run to run. BPE over words with a mark at their start learns
    # the same merges and is repeatable: `▁un` becomes `un`, and what has no mark becomes `##…`.
    from tokenizers import Tokenizer, models, pre_tokenizers

    marks = Tokenizer(models.BPE())
    marks.normalizer = bert_normalizer(
        lowercase=config.lowercase, strip_accents=config.strip_accents, form=config.form, isolate_chinese=True
    )
    words = pre_tokenizers.BertPreTokenizer()
    marks.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.Metaspace(prepend_scheme="always", split=False)]
    )
    alphabet_limit = max(config.size // 3, 2)
    letters = _Letters(texts, marks.normalizer)
    _fit(marks, letters, config, size=config.size + alphabet_limit, limit_alphabet=alphabet_limit)

    rare = letters.rarest(alphabet_limit)
    learned = sorted(marks.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
    tokens = [token for token, _ in learned if token not in config.specials and token != _START]
    tokens = [token for token in tokens if rare.isdisjoint(token)]
    characters = [token for token in tokens if len(token) == 1]
    inside = [c for c in characters if len(words.pre_tokenize_str(marks.normalizer.normalize_str(f"a{c}"))) == 1]
    merged = [token for token in tokens if len(token) > 1]
    pieces = [token[1:] if token.startswith(_START) else f"##{token}" for token in merged]
    order = dict.fromkeys([*config.specials, *characters, *(f"##{c}" for c in inside), *pieces])
    vocabulary = {token: i for i, token in enumerate(list(order)[: config.size])}

    engine = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    engine.normalizer, engine.pre_tokenizer = marks.normalizer, words
    return engine


class _Letters:
    """Texts that are passed on while their characters are counted.

    Where there are more characters than may stay, the engine drops the rarest in the order of a hash map: of those that
    are equally rare, others stay in the next run. Here all that are as rare as one that it drops are dropped.
    """

    def __init__(self, texts: Iterator[str], normalizer: Any) -> None:
        self.texts, self.normalizer = texts, normalizer
        self.counts: Counter[str] = Counter()

    def __iter__(self) -> Iterator[str]:
        for text in self.texts:
            self.counts.update(self.normalizer.normalize_str(text) if self.normalizer else text)
            yield text

    def rarest(self, limit: int) -> set[str]:
        """Characters that are no more frequent than one that does not stay, if `limit` may, the mark among them."""
        ranked = sorted(((n, c) for c, n in self.counts.items() if not c.isspace()), reverse=True)
        if len(ranked) < limit:
            return set()
        most = ranked[limit - 1][0]
        return {c for n, c in ranked if n <= most}


def _cut(engine: "Engine", config: BPE, rare: set[str]) -> Any:
    """The BPE model without these characters and what is merged of them, and no larger than it may be."""
    from tokenizers import models

    model = json.loads(engine.to_str())["model"]
    ordered = sorted(model["vocab"], key=model["vocab"].__getitem__)
    stay = [token for token in ordered if token in config.specials or rare.isdisjoint(token)][: config.size]
    vocabulary = {token: i for i, token in enumerate(stay)}
    merges = [(a, b) for a, b in map(tuple, model["merges"]) if {a, b, a + b} <= vocabulary.keys()]
    return models.BPE(vocab=vocabulary, merges=merges, unk_token="[UNK]")


def _unigram(texts: Iterator[str], config: Unigram) -> "Engine":
    from tokenizers import Tokenizer, models, pre_tokenizers

    raw = Tokenizer(models.Unigram())
    raw.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    raw.normalizer = _normalizer(config)
    try:
        _fit(raw, texts, config, unk_token="[UNK]")
    except Exception as error:
        if "not large enough" not in str(error):
            raise
        raise InputError(
            f"size={config.size} is too small: Unigram keeps every character of the texts; "
            f"try {10 * config.size}, or ByteBPE, which needs 256"
        ) from None
    learned = [
        (token, score) for token, score in json.loads(raw.to_str())["model"]["vocab"] if token not in config.specials
    ]
    vocabulary = [(token, 0.0) for token in config.specials] + _repeatable(learned)
    engine = Tokenizer(models.Unigram(vocabulary, unk_id=config.specials.index("[UNK]")))
    engine.pre_tokenizer, engine.normalizer = raw.pre_tokenizer, raw.normalizer
    return engine


def _repeatable(learned: list[tuple[str, float]]) -> list[tuple[str, float]]:
    # The engine works in the order of a hash map: the last digits of its scores differ from run to run, and so does
    # which of the rarest characters, all of one score, it drops and puts back, each 0.0001 above the one before. They
    # are equally rare: here all of them have the lowest score.
    scores = {token: round(score, 6) for token, score in learned}
    step = lowest = min(scores.values(), default=0.0)
    for token, score in sorted(scores.items(), key=lambda item: item[1]):
        if len(token) == 1 and abs(score - step) < 5e-6:
            step += 1e-4
        elif len(token) > 1 or abs(score - lowest) >= 5e-6:
            continue
        scores[token] = lowest
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def _fit(engine: "Engine", texts: Iterable[str], config: _Learned, *, size: int | None = None, **options: Any) -> None:
    from tokenizers import models, trainers

    names = {
        models.BPE: trainers.BpeTrainer,
        models.WordLevel: trainers.WordLevelTrainer,
        models.Unigram: trainers.UnigramTrainer,
    }
    trainer = names[type(engine.model)]
    if trainer is not trainers.UnigramTrainer:
        options["min_frequency"] = config.min_count
    specials = list(config.specials)
    options |= {"vocab_size": size or config.size, "special_tokens": specials, "show_progress": False}
    engine.train_from_iterator(texts, trainer(**options))


def _normalizer(config: _Learned) -> Any:
    from tokenizers import normalizers

    steps = [getattr(normalizers, config.form)()] if config.form else []
    steps += [normalizers.Lowercase()] * config.lowercase
    steps += [normalizers.NFD(), normalizers.StripAccents(), normalizers.NFC()] * config.strip_accents
    return normalizers.Sequence(steps) if steps else None


def _byte_vocabulary(specials: tuple[str, ...]) -> dict[str, int]:
    letters = byte_letters()  # the ids follow the byte values
    return {token: i for i, token in enumerate([*specials, *(letters[b] for b in range(256))])}


def _regex(pattern: str) -> Any:
    from tokenizers import Regex

    return Regex(pattern)
