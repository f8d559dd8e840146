"""Perplexity against the reference library's loss and against sums by hand, whatever the windows."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inlay.convert import save_model
from inlay.errors import InputError
from inlay.evaluate.language import LanguageScore, evaluate, kind_of, windows
from inlay.model.model import Model
from inlay.model.presets import PRESETS, preset
from inlay.tokenize.kinds import ByteBPE, Characters, WordPiece
from inlay.tokenize.tokenizer import Tokenizer

TEXTS = [
    "The sea was calm, and the ship lay at anchor.",
    "猫在海边看船。",
    "a",
    "Storms came & went; nobody on the quay knew why the harbour was closed. " * 2,
]


@pytest.fixture(scope="module")
def bytes_tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, ByteBPE(size=300, specials=("<|endoftext|>",)))


@pytest.fixture(scope="module")
def pieces() -> Tokenizer:
    return Tokenizer.train(TEXTS, WordPiece(size=120))


def built(name: str, seed: int = 3, scale: float = 8.0) -> Model:
    """A model that is far from guessing alike: its weights are larger than first ones are."""
    model = preset(name).build(seed=seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight *= scale
    return model.eval()


@pytest.fixture(scope="module")
def reference(bytes_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Any]:
    """A model, and the reference library's that has its weights."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("reference") / "m"
    save_model(model := built("gpt2-tiny"), folder, tokenizer=bytes_tokenizer)
    return model, transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode([text]).ids.tolist()


def test_perplexity_is_that_of_the_reference_library(bytes_tokenizer: Tokenizer, reference: tuple[Model, Any]) -> None:
    model, theirs = reference
    start = bytes_tokenizer.id(bytes_tokenizer.roles["eos"])
    total = tokens = 0
    for text in TEXTS:
        ids = torch.tensor([[start, *ids_of(bytes_tokenizer, text)]])
        with torch.no_grad():
            total += float(theirs(ids, labels=ids).loss) * (ids.numel() - 1)
        tokens += ids.numel() - 1
    score = evaluate(model, bytes_tokenizer, TEXTS)
    assert score.tokens == tokens
    assert score.loss == pytest.approx(total / tokens, rel=1e-5)
    assert score.perplexity == pytest.approx(math.exp(total / tokens), rel=1e-4)
    assert score.bits_per_byte == pytest.approx(total / math.log(2) / sum(len(t.encode()) for t in TEXTS), rel=1e-5)
    assert (score.documents, score.exact, score.unknown, score.start) == (4, 4, 0, True)


@pytest.mark.parametrize(("length", "stride"), [(16, 8), (16, 1), (16, 15), (40, 20), (1000, 500)])
def test_a_long_document_is_that_of_the_reference_librarys_windows(
    length: int, stride: int, bytes_tokenizer: Tokenizer, reference: tuple[Model, Any]
) -> None:
    model, theirs = reference
    text = " ".join(TEXTS)
    told = [bytes_tokenizer.id(bytes_tokenizer.roles["eos"]), *ids_of(bytes_tokenizer, text)]
    total, done, end = 0.0, 1, 0
    while done < len(told):
        end = min(length, len(told)) if not end else min(end + stride, len(told))
        begin = max(end - length, 0)
        ids = torch.tensor([told[begin:end]])
        labels = ids.clone()
        labels[0, : done - begin] = -100
        with torch.no_grad():
            total += float(theirs(ids, labels=labels).loss) * (end - done)
        done = end
    score = evaluate(model, bytes_tokenizer, [text], length=length, stride=stride)
    assert score.nll == pytest.approx(total, rel=1e-5)
    assert score.tokens == len(told) - 1


def test_pseudo_perplexity_hides_each_token_of_the_reference_library_in_turn(pieces: Tokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    save_model(model := built("bert-tiny", scale=2), tmp_path / "m", tokenizer=pieces)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "m").eval()
    total = tokens = 0
    for text in TEXTS:
        whole = pieces.encode([text], specials=True).ids.tolist()
        for place in range(1, len(whole) - 1):
            hidden = torch.tensor([whole])
            hidden[0, place] = pieces.id("[MASK]")
            with torch.no_grad():
                shares = theirs(hidden).logits[0, place].log_softmax(0)
            total -= float(shares[whole[place]])
            tokens += 1
    score = evaluate(model, pieces, TEXTS)
    assert (score.kind, score.tokens) == ("masked", tokens)
    assert score.loss == pytest.approx(total / tokens, rel=1e-5)


@pytest.mark.parametrize(("length", "stride"), [(12, 5), (12, 11), (7, 1)])
def test_a_long_document_of_a_masked_model_counts_the_middle_of_each_window(
    length: int, stride: int, pieces: Tokenizer
) -> None:
    model, text = built("bert-tiny", scale=2), TEXTS[3]
    ids, room = ids_of(pieces, text), length - 2
    stride_here = min(stride, room)
    total, done = 0.0, 0
    for begin, end in windows(len(ids), room, stride_here):
        counted = end if end == len(ids) else end - (room - stride_here) // 2
        for place in range(done, counted):
            hidden = [pieces.id("[CLS]"), *ids[begin:end], pieces.id("[SEP]")]
            hidden[place - begin + 1] = pieces.id("[MASK]")
            with torch.no_grad():
                packed = model.pack(_batch([hidden]))
                logits = model.read("language", model(packed), packed.layout)[place - begin + 1]
            total -= float(logits.log_softmax(0)[ids[place]])
        done = counted
    assert done == len(ids)
    assert evaluate(model, pieces, [text], length=length, stride=stride).nll == pytest.approx(total, rel=1e-5)


def _batch(texts: list[list[int]]) -> Any:
    from inlay.batch import Batch

    return Batch.of(texts)


@pytest.mark.parametrize("n", [0, 1, 5, 8, 9, 100, 101])
@pytest.mark.parametrize(("length", "stride"), [(8, 1), (8, 4), (8, 7), (2, 1)])
def test_windows_reach_every_token_and_show_what_was_promised(n: int, length: int, stride: int) -> None:
    done = 0
    for begin, end in windows(n, length, stride):
        assert begin == 0 or (end - begin == length and done - begin >= length - stride)
        assert end > done or n == 0
        done = end
    assert done == n


@pytest.mark.parametrize("name", ["gpt2-tiny", "bert-tiny"])
@pytest.mark.parametrize("config", [ByteBPE(size=300), Characters(size=60), WordPiece(size=120)], ids=repr)
def test_a_model_that_only_guesses_needs_log_v_bits_for_each_token(name: str, config: Any) -> None:
    specials = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokenizer = Tokenizer.train(TEXTS, type(config)(size=config.size, specials=specials))
    model = preset(name).build()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    size = model.config.vocab_size
    n = sum(len(ids_of(tokenizer, text)) for text in TEXTS)
    score = evaluate(model, tokenizer, TEXTS, length=16)
    assert score.tokens == n
    assert score.perplexity == pytest.approx(size, rel=1e-4)
    assert score.bits_per_byte == pytest.approx(n * math.log2(size) / sum(len(t.encode()) for t in TEXTS), rel=1e-5)


def test_unknown_tokens_and_texts_that_do_not_come_back_are_counted(pieces: Tokenizer) -> None:
    score = evaluate(built("bert-tiny"), pieces, ["The sea", "the sea", "Ω the ψ"], length=16)
    assert score.unknown == 2
    assert score.exact == sum(pieces.decode(ids_of(pieces, t)) == t for t in ["The sea", "the sea", "Ω the ψ"]) < 3


def test_the_first_tokens_are_the_first_tokens_and_their_bytes(bytes_tokenizer: Tokenizer) -> None:
    model = built("gpt2-tiny")
    texts = ["sea " * 10, "猫在海边看船 " * 40]
    first = len(ids_of(bytes_tokenizer, texts[0]))
    score = evaluate(model, bytes_tokenizer, texts, most=first + 30, length=32)
    ids = ids_of(bytes_tokenizer, texts[1])[:30]
    assert (score.tokens, score.documents) == (first + 30, 2)
    assert score.bytes == len(texts[0]) + len(texts[1][: bytes_tokenizer.offsets(texts[1])[29][1]].encode())
    assert bytes_tokenizer.decode(ids).rstrip("\ufffd") in texts[1]
    one = evaluate(model, bytes_tokenizer, texts, most=first, length=32)
    assert (one.documents, one.bytes) == (1, len(texts[0]))
    assert one.nll == pytest.approx(evaluate(model, bytes_tokenizer, texts[:1], length=32).nll)


def test_without_a_token_to_begin_with_the_first_counts_as_one_of_all() -> None:
    tokenizer = Tokenizer.train(TEXTS, Characters(size=60, specials=("[PAD]", "[UNK]")))
    model = built("gpt2-tiny")
    score = evaluate(model, tokenizer, ["a", "", "b"])
    assert not score.start
    assert score.nll == pytest.approx(2 * math.log(1000))
    assert evaluate(model, tokenizer, ["sea"]).nll > math.log(1000)


def test_order_of_documents_and_batches_change_nothing(bytes_tokenizer: Tokenizer) -> None:
    model = built("gpt2-tiny")
    there = evaluate(model, bytes_tokenizer, TEXTS * 3, length=24)
    back = evaluate(model, bytes_tokenizer, TEXTS[::-1] * 3, length=24)
    assert there.nll == pytest.approx(back.nll, rel=1e-6)


def test_a_model_that_was_training_goes_on_training(bytes_tokenizer: Tokenizer) -> None:
    model = built("gpt2-tiny").train()
    same = [evaluate(model, bytes_tokenizer, TEXTS[:1]).nll for _ in range(2)]
    assert same[0] == same[1]
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("name", sorted(name for name in PRESETS if "tiny" in name))
def test_every_architecture_has_a_kind_or_a_reason(name: str) -> None:
    config = preset(name)
    heads = [head.name for head in config.heads]
    if config.encoder and config.decoder:
        expected = "writes one text from another"
    elif "language" not in heads:
        expected = "has no language head"
    elif config.input.query:
        expected = "in random orders"
    else:
        assert kind_of(config) == ("masked" if config.encoder else "causal")
        return
    with pytest.raises(InputError, match=expected) as error:
        kind_of(config)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"length": 1}, "length=1 must be at least 2 and at most 1024"),
        ({"length": 1025}, "length=1025 must be at least 2 and at most 1024, the model's positions"),
        ({"length": 8, "stride": 8}, "stride=8 must be at least 1 and below the length, 8"),
        ({"stride": 0}, "stride=0 must be at least 1"),
    ],
)
def test_impossible_windows_are_refused(settings: Any, expected: str, bytes_tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=expected):
        evaluate(built("gpt2-tiny"), bytes_tokenizer, TEXTS, **settings)


def test_a_masked_model_needs_a_mask_and_room(pieces: Tokenizer, bytes_tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="length=2 leaves no room between 2 special tokens"):
        evaluate(built("bert-tiny"), pieces, TEXTS, length=2)
    bare = Tokenizer.train(TEXTS, Characters(size=60, specials=("[PAD]", "[UNK]")))
    with pytest.raises(InputError, match="no mask token"):
        evaluate(built("bert-tiny"), bare, TEXTS)


@pytest.mark.parametrize("texts", [[], [""], ["", "  "]])
def test_no_token_is_no_score(texts: list[str], pieces: Tokenizer) -> None:
    with pytest.raises(InputError, match="there is no token to tell in the text"):
        evaluate(built("bert-tiny"), pieces, texts)


def test_a_hopeless_model_has_no_finite_perplexity() -> None:
    settings = {"tokens": 1, "documents": 1, "bytes": 2, "unknown": 0, "exact": 1, "length": 8, "stride": 4}
    score = LanguageScore(kind="causal", nll=np.log(2.0) * 4000, start=True, **settings)
    assert score.perplexity == math.inf
    assert (score.tree()["perplexity"], score.tree()["bits_per_byte"]) == (None, pytest.approx(2000))
