"""TSDAE: what is read, what is written, that one vector is all there is between them, for every encoder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import learnt_by_heart

from inlay.batch import Batch
from inlay.convert import save_model
from inlay.convert.names import Line, Names
from inlay.errors import InputError
from inlay.model.presets import PRESETS, preset, resize
from inlay.objective.rewriting import Rewriting
from inlay.objective.tsdae import TSDAE, TSDAEObjective
from inlay.tokenize.kinds import SPECIALS, Words
from inlay.tokenize.tokenizer import Tokenizer

LETTERS = [chr(letter) for letter in range(0x4E00, 0x4E00 + 40)]
TOKENIZER = Tokenizer.train([" ".join(LETTERS)], Words(min_count=1))
CLS, SEP = TOKENIZER.id("[CLS]"), TOKENIZER.id("[SEP]")
FIRST = len(SPECIALS)
ENCODERS = [name for name in PRESETS if "tiny" in name and PRESETS[name].decoder is None and "generator" not in name]
MODEL = preset("bert-tiny")
MODEL = replace(resize(MODEL, 1, 32, 2, 64), input=replace(MODEL.input, vocab_size=TOKENIZER.size))


def objective(name: str = "", **fields: object) -> TSDAEObjective:
    return TSDAE(**fields).build(preset(name) if name else MODEL, TOKENIZER)  # type: ignore[arg-type]


def sentences(lengths: list[int], seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch.of([[CLS, *rng.integers(FIRST, TOKENIZER.size, n).tolist(), SEP] for n in lengths])


def split(batch: Batch, ids: np.ndarray | None = None) -> list[list[int]]:
    return [part.tolist() for part in np.split(batch.ids if ids is None else ids, np.cumsum(batch.lengths)[:-1])]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6), share=st.floats(0.02, 0.98), seed=st.integers(0, 99)
)
def test_what_is_left_is_read_and_all_is_written(lengths: list[int], share: float, seed: int) -> None:
    batch = sentences(lengths, seed)
    before = batch.ids.copy()
    made = objective(share=share).draw(batch, np.random.default_rng(seed))
    assert np.array_equal(batch.ids, before)
    texts = zip(split(batch), split(made.source), split(made.target, made.labels), split(made.target), strict=True)
    for text, source, labels, reads in texts:
        rest = iter(text)
        assert all(token in rest for token in source)
        assert (source[0], source[-1]) == (CLS, SEP)
        n = len(text) - 2
        assert len(text) - len(source) == min(np.rint(share * n), max(n - 1, 0))
        assert labels == text[1:]
        assert reads == text[:-1]
    assert made.counts == {"nll": len(made.labels)}


def test_three_of_five_are_left_out() -> None:
    made = objective().draw(sentences([100, 5, 2, 1]), np.random.default_rng(0))
    assert (made.source.lengths - 2).tolist() == [40, 2, 1, 1]


def test_empty_texts_are_left_out_and_segments_stay_with_their_tokens() -> None:
    batch = replace(sentences([4, 0, 6]), segments=np.array([0] * 8 + [1] * 8, np.int32))
    batch = Batch.of([*split(batch), []], [*split(batch, batch.segments), []])
    made = objective().draw(batch, np.random.default_rng(1))
    assert len(made.source) == len(made.target) == 3
    assert made.source.segments is not None
    assert [set(one) for one in split(made.source, made.source.segments)] == [{0}, {0}, {1}]


def test_the_same_generator_asks_the_same() -> None:
    batch, asked = sentences([30, 12]), objective()
    one, same, other = (asked.draw(batch, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.source.ids, same.source.ids)
    assert not np.array_equal(one.source.ids, other.source.ids)


@pytest.mark.parametrize("pool", ["cls", "mean"])
@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_is_taught(name: str, pool: str) -> None:
    model, asked = preset(name).build(seed=1).eval(), objective(name, pool=pool).eval()
    made = asked.draw(sentences([9, 4, 9]), np.random.default_rng(2))
    loss = asked(model, made)["loss"]
    assert loss.item() == pytest.approx(np.log(preset(name).vocab_size), rel=0.2)  # nothing is known at first
    loss.backward()
    moved = [p.grad is not None and bool(p.grad.any()) for p in model.encoder.parameters()]
    assert np.mean(moved) > 0.7  # keys' biases move nothing
    silent = [n for n, p in asked.named_parameters() if p.grad is None]
    assert {n.split(".")[-1] for n in silent} <= {"s", "segment"}, silent  # what is written has one segment
    assert all(torch.isfinite(p.grad).all() for p in asked.parameters() if p.grad is not None)


def test_a_vector_is_all_that_the_decoder_sees_of_a_text() -> None:
    """What is written of a text is told by its own vector, and by no other text's."""
    model, asked = MODEL.build(seed=1).double().eval(), objective().double().eval()
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in (*model.parameters(), *asked.parameters()):
            parameter += 0.2 * torch.randn(parameter.shape, generator=rng)
    made = asked.draw(sentences([9, 7]), np.random.default_rng(2))
    changed = made.source.ids.copy()
    changed[1] = FIRST + (changed[1] - FIRST + 1) % 40

    def errors(source: np.ndarray, labels: slice) -> torch.Tensor:
        text = Batch(ids=made.target.ids[labels], lengths=made.target.lengths[:1], cut=np.zeros(1, np.int64))
        one = Rewriting(Batch(ids=source, lengths=made.source.lengths[:1], cut=text.cut), text, made.labels[labels])
        return asked.terms(model, one)["nll"]

    first = made.source.lengths[0]
    both = asked.terms(model, made)["nll"]
    alone = errors(made.source.ids[:first], slice(0, made.target.lengths[0]))
    other = asked.terms(model, replace(made, source=replace(made.source, ids=changed)))["nll"]
    moved = errors(changed[:first], slice(0, made.target.lengths[0]))
    torch.testing.assert_close(other - both, moved - alone)
    assert abs(moved - alone) > 1e-2


def test_loss_and_gradients_are_those_of_the_reference_library(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model, asked = MODEL.build(seed=3).eval(), objective(n_layers=2).eval()
    save_model(model, tmp_path / "bert")
    encoder = transformers.BertModel.from_pretrained(tmp_path / "bert", add_pooling_layer=False).eval()
    config = transformers.BertConfig.from_pretrained(tmp_path / "bert", is_decoder=True, add_cross_attention=True)
    config.num_hidden_layers = 2
    decoder = transformers.BertModel(config, add_pooling_layer=False).eval()
    decoder.embeddings = encoder.embeddings
    block, layer = "decoder.blocks.{i}.", "encoder.layer.{i}."
    lines = [
        Line(block + "ffn.up.{w}", layer + "intermediate.dense.{w}"),
        Line(block + "ffn.down.{w}", layer + "output.dense.{w}"),
        Line(block + "ffn_norm.{w}", layer + "output.LayerNorm.{w}"),
    ]
    for ours, theirs in (("attention", "attention"), ("cross", "crossattention")):
        parts = (f"{layer}{theirs}.self.{one}.{{w}}" for one in ("query", "key", "value"))
        lines.append(Line(f"{block}{ours}.qkv.{{w}}", *parts))
        lines.append(Line(f"{block}{ours}.out.{{w}}", f"{layer}{theirs}.output.dense.{{w}}"))
        lines.append(Line(f"{block}{ours}_norm.{{w}}", f"{layer}{theirs}.output.LayerNorm.{{w}}"))
    names = Names(lines=tuple(lines))
    mine = {name: p for name, p in asked.named_parameters() if name.startswith("decoder.")}
    decoder.encoder.load_state_dict(
        {n.removeprefix("encoder."): p.detach().clone() for n, p in names.theirs(mine).items()}
    )

    made = asked.draw(sentences([12, 5, 9]), np.random.default_rng(4))
    total = torch.zeros(())
    texts = zip(split(made.source), split(made.target), split(made.target, made.labels), strict=True)
    for source, reads, labels in texts:
        vector = encoder(torch.tensor([source])).last_hidden_state[:, :1]
        rows = decoder(torch.tensor([reads]), encoder_hidden_states=vector).last_hidden_state[0]
        logits = rows @ encoder.embeddings.word_embeddings.weight.T
        total = total + F.cross_entropy(logits, torch.tensor(labels), reduction="sum")
    wanted = total / made.counts["nll"]
    wanted.backward()
    found = asked(model, made)["loss"]
    found.backward()
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        model.input.token.weight.grad, encoder.embeddings.word_embeddings.weight.grad, rtol=1e-4, atol=1e-6
    )
    gradients = names.theirs({name: p.grad for name, p in mine.items()})
    for name, parameter in decoder.encoder.named_parameters():
        torch.testing.assert_close(gradients.pop(f"encoder.{name}"), parameter.grad, rtol=1e-4, atol=1e-6)
    assert not gradients


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    model, asked = MODEL.build(seed=1).double().eval(), objective().double().eval()
    drawn = [asked.draw(sentences(lengths), np.random.default_rng(3)) for lengths in ([20, 8], [30])]
    total = {"nll": sum(one.counts["nll"] for one in drawn)}
    parts = sum(asked(model, one, over=total)["loss"] for one in drawn)
    torch.testing.assert_close(parts, sum(asked.terms(model, one)["nll"] for one in drawn) / total["nll"])


def test_a_tiny_model_puts_texts_into_vectors() -> None:
    model, asked = MODEL.build(seed=0).eval(), objective(n_layers=1).eval()
    made = asked.draw(sentences([8, 6, 7, 5]), np.random.default_rng(0))
    learnt_by_heart(asked, model, made)


def test_the_decoder_is_drawn_from_the_seed() -> None:
    one, same, other = (TSDAE().build(MODEL, TOKENIZER, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["decoder.blocks.0.ffn.up.weight"], other["decoder.blocks.0.ffn.up.weight"])
    assert len(objective("albert-tiny").decoder.blocks) == 1
    assert objective("albert-tiny", n_layers=2).decoder.stack.n_layers == 2


def test_a_cls_token_at_the_end_is_found() -> None:
    asked = objective()
    assert asked.place(sentences([3, 5])) == "first"
    assert asked.place(Batch.of([[7, 8, SEP, CLS], [9, SEP, CLS]])) == "last"
    with pytest.raises(InputError, match="neither begin nor end with it; pack them with specials=True"):
        asked.place(Batch.of([[7, 8]]))


@pytest.mark.parametrize("token", [-1, TOKENIZER.size])
def test_ids_that_no_tokenizer_gave_are_refused(token: int) -> None:
    with pytest.raises(InputError, match=rf"token id {token} \(place 1 of the batch\) .* take the tokenizer that"):
        objective().draw(Batch.of([[CLS, token, SEP]]), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "tokenizer", "message"),
    [
        ("gpt2-tiny", TOKENIZER, "gpt2 is none: take CausalLM"),
        ("bart-tiny", TOKENIZER, "bart is more: take Denoise or SpanCorruption"),
        ("bert-tiny", Tokenizer.from_vocabulary(["a"], specials=("[UNK]", "[CLS]")), "has no eos or sep token"),
        ("bert-tiny", Tokenizer.from_vocabulary(["a"], specials=("[PAD]", "[UNK]", "[SEP]")), "needs a cls token"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(name: str, tokenizer: Tokenizer, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        TSDAE().build(preset(name), tokenizer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"share": 1.0}, "between 0 and 1"), ({"pool": "clss"}, "did you mean 'cls'"), ({"n_layers": -1}, "at least 1")],
)
def test_settings_that_cannot_be_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TSDAE(**fields)  # type: ignore[arg-type]
