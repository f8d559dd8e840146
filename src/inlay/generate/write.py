"""Continue prompts, or answer sources: many at once, or one as a stream of pieces.

B texts, V vocabulary, L tokens so far.
"""

import contextlib
import math
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from inlay.errors import InputError
from inlay.generate.beam import search
from inlay.generate.config import Beam, GenerationConfig, Sample
from inlay.generate.pieces import Generated, Growing
from inlay.generate.prompt import Job, from_ids, from_texts
from inlay.generate.scores import Penalties, drawn, filtered
from inlay.generate.steps import Steps
from inlay.model.model import Model

if TYPE_CHECKING:
    from inlay.tokenize.tokenizer import Tokenizer

_DEFAULT = GenerationConfig()


def generate(
    model: Model,
    tokenizer: "Tokenizer",
    prompts: Sequence[str],
    config: GenerationConfig = _DEFAULT,
    *,
    rng: torch.Generator | None = None,
) -> list[Generated]:
    """What the model writes after each prompt, or in answer to each where it reads a source; in their order.

    Greedy and Beam write the same for a prompt in any company. Sample draws from `rng`, and the same one gives the
    same texts. Raises InputError for a model that cannot write, and for what its positions cannot hold.
    """
    return _run(from_texts(model, tokenizer, prompts, config), rng)


def generate_ids(
    model: Model,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig = _DEFAULT,
    *,
    tokenizer: "Tokenizer | None" = None,
    rng: torch.Generator | None = None,
) -> list[Generated]:
    """The same of token ids, as they are; without a tokenizer there is no text, and `config.eos` alone ends one."""
    return _run(from_ids(model, prompts, config, tokenizer), rng)


def stream(
    model: Model,
    tokenizer: "Tokenizer",
    prompt: str,
    config: GenerationConfig = _DEFAULT,
    *,
    rng: torch.Generator | None = None,
) -> Generator[str, None, Generated]:
    """The text of `generate` in pieces, each as soon as it is sure: whole characters, and no part of a stop string.

    The generator returns what `generate` does. Raises InputError as that does, before the first piece; and for Beam,
    whose text is known at its end only.
    """
    if isinstance(config.strategy, Beam):
        raise InputError("a beam's text is known at its end only, so it cannot be streamed; use generate, or Sample()")
    job = from_texts(model, tokenizer, [prompt], config)
    return _pieces(job, _checked(config, rng))


def _pieces(job: Job, rng: torch.Generator | None) -> Generator[str, None, Generated]:
    text = Growing(job, 0)
    with _evaluating(job.model):
        for _ in _grow(job, [text], rng):
            if piece := text.take():
                yield piece
    return _sound(text.result())


def _run(job: Job, rng: torch.Generator | None) -> list[Generated]:
    rng = _checked(job.config, rng)
    # Neighbours of one length are read together.
    order = sorted(range(len(job.prompts)), key=lambda text: len((job.sources or job.prompts)[text]))
    texts = [Growing(job, number) for number in order]
    with _evaluating(job.model):
        if isinstance(job.config.strategy, Beam):
            search(job, texts, job.config.strategy)
        else:
            for _ in _grow(job, texts, rng):
                pass
    found = {text.number: _sound(text.result()) for text in texts}
    return [found[number] for number in range(len(found))]


@torch.inference_mode()
def _grow(job: Job, texts: list[Growing], rng: torch.Generator | None) -> Iterator[None]:
    """Write one token more of every text that has not ended, and again, until all have."""
    alive = list(texts)
    steps = Steps(job.model, len(texts))
    prompts = [job.prompts[text.number] for text in texts]
    penalties = Penalties(job.config, job.eos, prompts, steps)
    logits = steps.begin(prompts, job.sources and [job.sources[text.number] for text in texts])
    while True:
        tokens = _choose(penalties(logits), job.config, rng)
        likely = logits.log_softmax(1).gather(1, tokens[:, None])[:, 0]
        ended = [text.add(*one) for text, *one in zip(alive, tokens.tolist(), likely.tolist(), strict=True)]
        yield
        if all(ended):
            return
        penalties.add(tokens)
        if any(ended):
            stay = [number for number, end in enumerate(ended) if not end]
            alive = [alive[number] for number in stay]
            steps.cache.select(stay)
            index = torch.tensor(stay, device=tokens.device)
            tokens = tokens[index]
            penalties.select(index)
        logits = steps.step(tokens)


def _choose(logits: Tensor, config: GenerationConfig, rng: torch.Generator | None) -> Tensor:
    """(B, V) -> (B,)"""
    if isinstance(config.strategy, Sample):
        assert rng is not None
        return drawn(filtered(logits, config.strategy), rng)
    if logits.device.type == "cpu":
        return torch.from_numpy(logits.numpy().argmax(1))  # torch looks at one number at a time, 10 times as long
    return logits.argmax(1)


def _checked(config: GenerationConfig, rng: torch.Generator | None) -> torch.Generator | None:
    if isinstance(config.strategy, Sample) and rng is None:
        raise InputError("Sample() draws by chance; give rng=torch.Generator().manual_seed(0), or take Greedy()")
    return rng


def _sound(text: Generated) -> Generated:
    if math.isnan(text.log_probability):
        raise InputError(
            "the model's logits are not numbers (NaN or infinity): its weights are, or float16 is too small"
        )
    return text


@contextlib.contextmanager
def _evaluating(model: Model) -> Iterator[None]:
    """Dropout is off meanwhile."""
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
