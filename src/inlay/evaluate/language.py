"""How well a language model tells a text: perplexity, pseudo-perplexity, and bits per byte, which no tokenizer changes.

A long document is read in windows. Each token counts once, in the window that shows enough of what is around it: every
window but a document's first one begins with tokens that counted already and are there to be seen.

N tokens of a document, T of a window, M that count in it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from inlay.batch import Batch
from inlay.errors import InputError
from inlay.live import Live
from inlay.text.frame import frame_of

if TYPE_CHECKING:
    from inlay.model.model import Model, ModelConfig
    from inlay.tokenize.tokenizer import Tokenizer

Kind = Literal["causal", "masked"]
Ids = NDArray[np.int32]

_LENGTH: dict[Kind, int] = {"causal": 1024, "masked": 256}
"""Tokens of a window where the model takes more, or any number: what a masked model costs grows with its square."""
_AT_ONCE = {"cpu": 1 << 12, "cuda": 1 << 15}
"""Tokens of a batch."""


@dataclass(frozen=True, kw_only=True)
class LanguageScore:
    """What a model makes of a text. Sums, from which the figures follow."""

    kind: Kind
    """`masked`: each token was hidden in turn, and told from both sides of it."""
    nll: float
    """The sum of -log P(token) over all tokens, in nats."""
    tokens: int
    documents: int
    bytes: int
    """Of the texts in UTF-8."""
    unknown: int
    """Tokens that stand for what the vocabulary cannot write; telling them tells nothing of the text."""
    exact: int
    """Documents that the tokenizer gives back as they were; of the others, bits per byte leave something out."""
    length: int
    """Tokens of a window."""
    stride: int
    """Tokens that count in a window, of a document longer than one."""
    start: bool
    """Whether a token stands before a document, from which its first one is told; else that counts as one of V."""

    @property
    def loss(self) -> float:
        """The mean over the tokens, in nats."""
        return self.nll / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(loss): among how many tokens the model is as good as guessing. Of masked models the pseudo-perplexity of
        Salazar et al. 2020, arXiv:1910.14659, which is no perplexity and compares with its like alone."""
        return math.exp(self.loss) if self.loss < 700 else math.inf

    @property
    def bits_per_byte(self) -> float:
        """Bits that tell a byte of the text, whatever its tokens are."""
        return self.nll / (math.log(2) * self.bytes)

    def tree(self) -> dict[str, Any]:
        """Plain JSON: the figures, and what they were made from; null for one that is not finite."""
        figures = {"perplexity": self.perplexity, "bits_per_byte": self.bits_per_byte, "loss": self.loss}
        finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        return finite | {name: value for name, value in asdict(self).items() if name != "nll"}


@dataclass(frozen=True, eq=False)
class Question:
    """A stretch of tokens to read, and what is to be told from its rows."""

    ids: Ids
    """(T,)"""
    rows: NDArray[np.int64]
    """(M,)"""
    labels: Ids
    """(M,)"""


def evaluate(
    model: "Model",
    tokenizer: "Tokenizer",
    texts: Iterable[str],
    *,
    length: int | None = None,
    stride: int | None = None,
    most: int | None = None,
) -> LanguageScore:
    """The score of a language model on these documents, all of them or their first `most` tokens.

    `length` is a window's number of tokens, by default what model and tokenizer take, up to 1024 (masked models: 256);
    `stride` how many of them count, by default half: the others are what these are told from, before them and for a
    masked model on both sides. A model that was trained on shorter texts tells longer ones badly: say its length.
    Raises InputError for a model that gives a text no probability, and for no text.
    """
    kind = kind_of(model.config)
    length, stride = _sizes(model, tokenizer.max_length, kind, length, stride)
    reader: _Causal | _Masked = (_Causal if kind == "causal" else _Masked)(model, tokenizer, length, stride)
    unknown = tokenizer.roles.get("unk")
    unknown_id = None if unknown is None else tokenizer.id(unknown)
    found = dict.fromkeys(("tokens", "documents", "bytes", "unknown", "exact"), 0)
    filled = 0

    def questions() -> Iterator[Question]:
        nonlocal filled
        for text in texts:
            ids, shown = _tokens(tokenizer, text, None if most is None else most - found["tokens"])
            if len(ids):
                filled += 1
                yield from reader.questions(ids)
            found["tokens"] += len(ids)
            found["documents"] += 1
            found["bytes"] += len(shown.encode("utf-8", "surrogatepass"))
            found["unknown"] += int((ids == unknown_id).sum())
            found["exact"] += tokenizer.decode(ids) == shown
            if found["tokens"] == most:
                break

    was_training = model.training
    model.eval()
    try:
        with Live("evaluate", total=most, unit="tokens") as live:
            nll = math.fsum(_told(model, batch, live) for batch in _batches(questions(), model.device.type))
    finally:
        model.train(was_training)
    if not found["tokens"]:
        raise InputError("there is no token to tell in the text; give one that holds some")
    if not reader.start:
        nll += filled * math.log(model.config.vocab_size)
    return LanguageScore(kind=kind, nll=nll, length=length, stride=stride, start=reader.start, **found)


def kind_of(config: "ModelConfig") -> Kind:
    """How the model gives a text a probability; InputError, with what to look at instead, where it does not."""
    name = config.family or "this model"
    instead = "; compare the held-out losses of its training, which inlay runs shows"
    if config.encoder is not None and config.decoder is not None:
        raise InputError(f"{name} writes one text from another, and gives a text alone no probability{instead}")
    if "language" not in [head.name for head in config.heads]:
        raise InputError(f"{name} has no language head, and so tells no tokens; take the model that it was begun from")
    if config.input.query:
        raise InputError(f"{name} tells tokens in random orders by a second stream, and none by a mask{instead}")
    stack = config.decoder or config.encoder
    assert stack is not None
    if config.decoder is not None and not stack.causal:
        raise InputError(f"{name} has a decoder that sees what it is to tell; set decoder.causal=true")
    return "causal" if stack.causal else "masked"


def windows(n: int, length: int, stride: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of stretches of at most `length` over n tokens, each `stride` beyond the last one; all are full
    where there are so many."""
    end = min(length, n)
    yield 0, end
    while end < n:
        end = min(end + stride, n)
        yield end - length, end


class _Causal:
    """Each token told from those before it."""

    def __init__(self, model: "Model", tokenizer: "Tokenizer", length: int, stride: int) -> None:
        self.length, self.stride = length, stride
        roles = [tokenizer.id(tokenizer.roles[role]) for role in ("bos", "cls", "eos") if role in tokenizer.roles]
        before, _ = frame_of(tokenizer, 1).ids
        self.before = before if len(before) else np.array(roles[:1], np.int32)
        self.start = bool(len(self.before))

    def questions(self, ids: Ids) -> Iterator[Question]:
        told = np.concatenate([self.before, ids])
        done = max(len(self.before), 1)  # from what stands before it, the first token is told
        for begin, end in windows(len(told), self.length, self.stride):
            if end > done:
                yield Question(told[begin:end], np.arange(done, end) - begin - 1, told[done:end])
                done = end


class _Masked:
    """Each token told from all others of its window, a mask in its place."""

    start = True

    def __init__(self, model: "Model", tokenizer: "Tokenizer", length: int, stride: int) -> None:
        if "mask" not in tokenizer.roles:
            raise InputError("this tokenizer has no mask token, by which a token is hidden; take that of the model")
        self.mask = tokenizer.id(tokenizer.roles["mask"])
        frame = frame_of(tokenizer, 1)
        self.before, self.after = frame.ids
        self.room = length - frame.size
        if self.room < 1:
            raise InputError(f"length={length} leaves no room between {frame.size} special tokens")
        self.stride = min(stride, self.room)

    def questions(self, ids: Ids) -> Iterator[Question]:
        """The tokens that count lie in the middle of a window, but at the ends of the document."""
        done, beyond = 0, (self.room - self.stride) // 2
        for begin, end in windows(len(ids), self.room, self.stride):
            counted = end if end == len(ids) else end - beyond
            whole = np.concatenate([self.before, ids[begin:end], self.after])
            for place in range(done, counted):
                row = np.array([place - begin + len(self.before)])
                hidden = whole.copy()
                hidden[row] = self.mask
                yield Question(hidden, row, whole[row])
            done = counted


def _batches(questions: Iterable[Question], device: str) -> Iterator[list[Question]]:
    held: list[Question] = []
    most, tokens = _AT_ONCE.get(device, _AT_ONCE["cuda"]), 0
    for question in questions:
        if held and tokens + len(question.ids) > most:
            yield held
            held, tokens = [], 0
        held.append(question)
        tokens += len(question.ids)
    if held:
        yield held


def _told(model: "Model", questions: Sequence[Question], live: Live) -> float:
    """The sum of -log P of all labels."""
    import torch

    from inlay.objective.language import on, token_nll

    lengths = np.array([len(question.ids) for question in questions], np.int64)
    starts = np.cumsum(lengths) - lengths
    rows = np.concatenate([question.rows + start for question, start in zip(questions, starts, strict=True)])
    labels = np.concatenate([question.labels for question in questions])
    batch = Batch(ids=np.concatenate([one.ids for one in questions]), lengths=lengths, cut=np.zeros_like(lengths))
    with torch.no_grad():
        total = float(token_nll(model, model(batch)[on(model, rows)], on(model, labels)))
    live.advance(len(labels))
    return total


def _tokens(tokenizer: "Tokenizer", text: str, most: int | None) -> tuple[Ids, str]:
    """The ids of the text, `most` at most, and as much of the text as they stand for."""
    ids = tokenizer.encode([text]).ids
    if most is None or len(ids) <= most:
        return ids, text
    return ids[:most], text[: tokenizer.offsets(text)[most - 1][1]]


def _sizes(model: "Model", usual: int | None, kind: Kind, length: int | None, stride: int | None) -> tuple[int, int]:
    from inlay.generate.steps import room

    most = room(model)
    if length is None:
        length = max(min(_LENGTH[kind], most or _LENGTH[kind], usual or _LENGTH[kind]), 2)
    if length < 2 or (most is not None and length > most):
        limit = f"at least 2 and at most {most}, the model's positions" if most else "at least 2"
        raise InputError(f"length={length} must be {limit}")
    if stride is None:
        stride = max(length // 2, 1)
    if not 1 <= stride < length:
        raise InputError(f"stride={stride} must be at least 1 and below the length, {length}; half of it is usual")
    return length, stride
