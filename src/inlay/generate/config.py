"""How text is written: which token is taken, what is forbidden or made less likely, and when a text ends."""

from dataclasses import dataclass, field

from inlay.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Greedy:
    """Take the likeliest token at every step."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Draw each token by its probability, among those that the filters leave; they apply in the order of the fields."""

    temperature: float = 1.0
    """Divides the logits: below 1 likely tokens become likelier, above 1 all become more alike."""
    top_k: int = 0
    """Draw among so many likeliest tokens; 0: among all. Fan et al. 2018, arXiv:1805.04833."""
    top_p: float = 1.0
    """Draw among the fewest likeliest tokens that together are so likely. Holtzman et al. 2020, arXiv:1904.09751."""
    min_p: float = 0.0
    """Draw among tokens at least so likely, compared with the likeliest. Nguyen et al. 2024, arXiv:2407.01082."""

    def __post_init__(self) -> None:
        if not 1e-6 <= self.temperature <= 1e6:  # beyond, float32 has no numbers for what is divided
            raise InputError(
                f"temperature={self.temperature} must be from 1e-6 to 1e6; for the likeliest token take Greedy()"
            )
        if self.top_k < 0:
            raise InputError(f"top_k={self.top_k} must be at least 1, or 0 for all tokens")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p={self.top_p} must be above 0 and at most 1; 0.9 is usual")
        if not 0 <= self.min_p <= 1:
            raise InputError(f"min_p={self.min_p} must be from 0 to 1; 0.05 is usual")


@dataclass(frozen=True, kw_only=True)
class Beam:
    """Keep the likeliest unfinished texts side by side, and return the best that ends.

    A text's score is the sum of its tokens' log-probabilities, after penalties, by its length^length_penalty.
    """

    n_beams: int = 4
    """Texts kept."""
    length_penalty: float = 1.0
    """0 compares sums, which favours short texts, 1 means; larger favours long ones."""
    early_stopping: bool = False
    """Stop as soon as n_beams texts have ended; otherwise when no unfinished one, were it to end now, would beat the
    worst of them."""

    def __post_init__(self) -> None:
        if self.n_beams < 1:
            raise InputError(f"n_beams={self.n_beams} must be at least 1; 4 is usual")
        if not -10 <= self.length_penalty <= 10:
            raise InputError(f"length_penalty={self.length_penalty} must be from -10 to 10; 1 is usual")


Strategy = Greedy | Sample | Beam


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How a text is continued, and when it ends."""

    strategy: Strategy = field(default_factory=Greedy)
    """Which token is taken."""
    max_new_tokens: int = 64
    """A text ends after so many."""
    min_new_tokens: int = 0
    """No end token before so many; a stop string may come earlier."""
    repetition_penalty: float = 1.0
    """Logits of tokens that stand in the text already are divided by this, or multiplied where they are negative; 1
    does nothing. Keskar et al. 2019, arXiv:1909.05858."""
    no_repeat_ngram: int = 0
    """No run of so many tokens comes twice in a text, prompt included; 0 forbids nothing. Paulus et al. 2017."""
    stop: tuple[str, ...] = ()
    """Texts that end the writing where they come up; they are cut off, with what follows."""
    eos: tuple[int, ...] | None = None
    """Ids that end a text; None: the tokenizer's end token, or [SEP] where it has no other. `from_folder` fills it."""
    start: int | None = None
    """The id that a decoder begins with when it reads a source, and that stands for an empty prompt; None: of the
    tokenizer, for a source the padding token (as T5 does), for an empty prompt that of a beginning, or of an end."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens={self.max_new_tokens} must be at least 1")
        if not 0 <= self.min_new_tokens <= self.max_new_tokens:
            raise InputError(
                f"min_new_tokens={self.min_new_tokens} must be from 0 to max_new_tokens={self.max_new_tokens}"
            )
        if not 0 < self.repetition_penalty < float("inf"):
            raise InputError(
                f"repetition_penalty={self.repetition_penalty} must be above 0; 1 does nothing, 1.2 is usual"
            )
        if self.no_repeat_ngram < 0:
            raise InputError(f"no_repeat_ngram={self.no_repeat_ngram} must be at least 1, or 0 to forbid nothing")
        if isinstance(self.stop, str):
            raise InputError(f"stop={self.stop!r} is one text, where several can be; write stop=({self.stop!r},)")
        if "" in self.stop:
            raise InputError("stop has an empty text, which is everywhere; leave it out")
        if isinstance(self.eos, int):
            raise InputError(f"eos={self.eos} is one id, where several can be; write eos=({self.eos},)")
        for name, ids in (("eos", self.eos or ()), ("start", () if self.start is None else (self.start,))):
            if any(one < 0 for one in ids):
                raise InputError(f"{name}={list(ids)} must be ids, from 0 on")
