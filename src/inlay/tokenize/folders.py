"""The tokenizer of a checkpoint's folder: its `tokenizer.json`, or an engine built from its family's plain files."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from inlay.errors import InputError, did_you_mean
from inlay.tokenize import engine as border
from inlay.tokenize import families, vocabulary
from inlay.tokenize.families import CLASSES, MODEL_TYPES, Family
from inlay.tokenize.settings import ROLES, Settings, Special
from inlay.tokenize.settings import read as read_settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

_JSON = "tokenizer.json"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a folder says of its tokenizer beside how it makes tokens."""

    roles: dict[str, str] = field(default_factory=dict)
    """The special tokens by what they are for; empty: nothing is said, and their names must tell."""
    max_length: int | None = None
    """Tokens that the model beside it takes at most."""
    inputs: tuple[str, ...] | None = None
    """What the model beside it takes; `token_type_ids` are the segments."""
    padding_side: str | None = None


def read(folder: Path) -> "tuple[Engine, Facts]":
    """The engine of a folder, and what the folder says of it.

    A `tokenizer.json` is taken first; what tokenizer_config.json says of lower case, accents and the first space goes
    before it, as in transformers. Raises InputError for a folder without a tokenizer, of an unknown class, or damaged.
    """
    settings = read_settings(folder)
    if (folder / _JSON).is_file():
        family = _named(settings)
        engine = border.read(folder / _JSON)
        with border.quiet(folder):
            _adapt(engine, settings, family)
            roles = _roles(settings, family, engine)
            _add(engine, settings, roles, settings.extra or settings.old_extra or (), folder)
    else:
        family = _named(settings) or _guessed(folder, settings)
        missing = [name for name in family.files if not (folder / name).is_file()]
        if missing:
            raise InputError(
                f"{folder / missing[0]}: no such file, and a {family.name} tokenizer needs it or a {_JSON}"
            )
        with border.quiet(folder):
            roles = _roles(settings, family)
            unknown = roles["unk"].content if "unk" in roles else family.roles["unk"]
            built = family.build(folder, settings, unknown)
            engine = built.engine
            extra = settings.extra if built.extra is not None else settings.extra or settings.old_extra
            _add(engine, settings, roles, extra if extra is not None else built.extra or (), folder)
            _frame(engine, settings, family, roles, folder)
    border.check(engine, folder)
    _check_ids(engine, settings, folder)
    facts = Facts(
        roles={role: roles[role].content for role in roles},
        max_length=settings.max_length,
        inputs=settings.inputs or (family.inputs if family else None),
        padding_side=settings.padding_side or (family.padding_side if family else None),
    )
    return engine, facts


def _named(settings: Settings) -> Family | None:
    """The family that the folder's files name, by the tokenizer's class or else by the model's type."""
    return CLASSES.get(settings.kind) if settings.kind else MODEL_TYPES.get(settings.model_type or "")


def _guessed(folder: Path, settings: Settings) -> Family:
    """The family that the files at hand tell, where nothing is named that would say otherwise."""
    named, options = settings.kind or settings.model_type, CLASSES if settings.kind else MODEL_TYPES
    if named:
        what = "a tokenizer of class" if settings.kind else "the tokenizer of a model of type"
        raise InputError(f"{folder}: {what} {named!r} needs a {_JSON} to be read{did_you_mean(named, options)}")
    if (folder / "vocab.txt").is_file():
        return families.BERT
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return families.ROBERTA if "<s>" in vocabulary.table_of(folder / "vocab.json") else families.GPT2
    if (folder / "spiece.model").is_file():
        raise InputError(
            f"{folder}: has a spiece.model, and nothing says of which family; name its tokenizer_class "
            "(T5Tokenizer, AlbertTokenizer, XLNetTokenizer) in a tokenizer_config.json"
        )
    raise InputError(
        f"{folder / _JSON}: no such file; a tokenizer is a folder with a {_JSON}, a vocab.txt, "
        "a vocab.json with a merges.txt, or a spiece.model"
    )


def _roles(settings: Settings, family: Family | None, engine: "Engine | None" = None) -> dict[str, Special]:
    """The token of each role: the one that the folder names, else the family's, if the engine has it."""
    found: dict[str, Special] = {}
    for role in ROLES:
        usual = family.roles.get(role) if family else None
        if role in settings.roles:
            if token := settings.roles[role]:
                found[role] = token
        elif family and usual and (engine is None or engine.token_to_id(usual) is not None):
            found[role] = Special(content=usual, lstrip=role in family.lstrip)
    return found


def _add(
    engine: "Engine", settings: Settings, roles: dict[str, Special], extra: Iterable[Special], folder: Path
) -> None:
    """Have the engine take the special tokens from text as they stand; those it lacks get the next ids, in order."""
    from tokenizers import AddedToken

    names = {token.content for token in roles.values()}
    known = {token.content for token in engine.get_added_tokens_decoder().values()}
    added = [settings.added[number] for number in sorted(settings.added)]
    tokens = [token for token in added if settings.decides or token.content not in known]
    known |= {token.content for token in tokens}
    for token in [*roles.values(), *extra]:
        if token.content not in known:
            known.add(token.content)
            tokens.append(token)
    made = []
    for token in tokens:
        normalized = not token.special if token.normalized is None else token.normalized
        made.append(
            AddedToken(
                token.content,
                single_word=token.single_word,
                lstrip=token.lstrip,
                rstrip=token.rstrip,
                normalized=normalized,
                special=token.special or token.content in names,
            )
        )
    if not made:
        return
    clashes = _clashes(engine)
    engine.add_tokens(made)
    # The engine numbers new tokens from the count of the old ones on: where old ids have holes, one may be taken.
    if _clashes(engine) > clashes:
        raise InputError(f"{folder}: an added token has the id of another; copy the tokenizer's files again")


def _clashes(engine: "Engine") -> int:
    ids = engine.get_vocab(with_added_tokens=True).values()
    return len(ids) - len(set(ids))


def _adapt(engine: "Engine", settings: Settings, family: Family | None) -> None:
    """Let the settings of tokenizer_config.json go before those of a tokenizer.json, where the family has them."""
    from tokenizers import normalizers, pre_tokenizers

    options = settings.options
    if family and family.files == families.BERT.files and isinstance(engine.normalizer, normalizers.BertNormalizer):
        said = engine.normalizer
        engine.normalizer = normalizers.BertNormalizer(
            clean_text=said.clean_text,
            handle_chinese_chars=options.get("tokenize_chinese_chars", said.handle_chinese_chars),
            strip_accents=options.get("strip_accents", said.strip_accents),
            lowercase=options.get("do_lower_case", said.lowercase),
        )
    byte_level = isinstance(engine.pre_tokenizer, pre_tokenizers.ByteLevel)
    if family and family.files == families.GPT2.files and byte_level and "add_prefix_space" in options:
        engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=options["add_prefix_space"])


def _frame(engine: "Engine", settings: Settings, family: Family, roles: dict[str, Special], folder: Path) -> None:
    """Have the engine put the family's special tokens around a text and between a pair."""
    from tokenizers import processors

    single, pair = family.single, family.pair
    if family is families.GPT2:
        before = "bos:%d " if settings.options.get("add_bos_token") else ""
        after = " eos:%d" if settings.options.get("add_eos_token") else ""
        first, second = (f"{before}${side}:%d{after}" for side in "AB")
        single = first.replace("%d", "0")
        pair = f"{single} {second.replace('%d', '1')}"
    wanted = [role for role in ROLES if f"{role}:" in pair]
    for role in wanted:
        if role not in roles:
            raise InputError(
                f"{folder}: a {family.name} tokenizer needs a {role} token; name it in tokenizer_config.json"
            )
    # The engine's templates are split at spaces and colons, which a token may have; so they name roles, not tokens.
    names = {role: roles[role].content for role in wanted}
    template = processors.TemplateProcessing(
        single=single,
        pair=pair,
        special_tokens=[{"id": r, "ids": [engine.token_to_id(names[r])], "tokens": [names[r]]} for r in wanted],
    )
    if family.trim:
        prefix = settings.options.get("add_prefix_space", False)
        trim = processors.ByteLevel(trim_offsets=True, add_prefix_space=prefix)
        engine.post_processor = processors.Sequence([trim, template])
    else:
        engine.post_processor = template


def _check_ids(engine: "Engine", settings: Settings, folder: Path) -> None:
    """The added tokens have the ids that the files give them."""
    for number, token in settings.added.items():
        if (found := engine.token_to_id(token.content)) != number:
            raise InputError(
                f"{folder}: the files give {token.content[:40]!r} the id {number}, and the vocabulary "
                f"{found}; they are of different tokenizers, copy them again"
            )
