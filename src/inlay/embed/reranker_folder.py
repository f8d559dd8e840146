"""Folders of cross-encoders: what they say of themselves, in the layouts of transformers and sentence-transformers.

A folder of transformers with a class for texts and one label is one as it stands, and what version 3 and before of
sentence-transformers writes is such a folder with `sbert_ce_default_activation_function` in its config.json; versions
4 and 5 put a table `sentence_transformers` there, version 6 has modules.json and config_sentence_transformers.json.
"""

from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any, Literal, get_args

from inlay.convert.folder import MODULES, MOST_BYTES, member, parts_of, transformer_folder
from inlay.convert.hub import locate
from inlay.embed.folder_modules import CONFIG, LENGTHS, PROMPTS
from inlay.errors import InputError
from inlay.files import read_json

Activation = Literal["sigmoid", "identity"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
THEIRS: dict[Activation, str] = {
    "sigmoid": "torch.nn.modules.activation.Sigmoid",
    "identity": "torch.nn.modules.linear.Identity",
}
OLD_KEY, NEW_KEY = "sbert_ce_default_activation_function", "sentence_transformers"
OWN = "inlay"
_CLASS = "ForSequenceClassification"
_WAY_OUT = "`inlay reranker train` makes one"


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a folder says of its cross-encoder; no weight was touched for it."""

    place: Path
    """Where weights and tokenizer lie."""
    family: str
    """The `model_type`."""
    activation: Activation
    """What is put on the number that the head gives."""
    max_length: int | None
    """Tokens of a pair at most, where sentence-transformers has written it down."""
    snapshot: bool
    """It is a model of the hub, in the cache that all tools share."""


def read_said(folder: str | Path) -> Said:
    """What is said in a folder, or by a model of that name on the hub.

    InputError where it is no cross-encoder with one number for a pair, and for settings that would change the number
    and are not read here: prompts, other modules, other functions than sigmoid and identity.
    """
    fetched = locate(folder)
    top = fetched.folder
    kinds = [kind for kind, _ in parts_of(top)]
    if (top / MODULES).is_file() and kinds != ["Transformer"]:
        raise InputError(
            f"{top / MODULES}: lists {', '.join(kinds)[:160] or 'nothing'}, and a reranker is a Transformer alone; "
            f"{'this is an embedder: ' if 'Pooling' in kinds else ''}{_WAY_OUT}"
        )
    place = transformer_folder(top)
    if not (place / CONFIG).is_file():
        raise InputError(f"{place} is no reranker (it has no {CONFIG}); {_WAY_OUT}")
    tree = _table(place, CONFIG)
    if tree.get("model_type") == OWN:
        _one_label(place, _own_labels(tree))
    else:
        _one_label(place, _labels(place, tree))
    about = _table(top, PROMPTS) if (top / PROMPTS).is_file() else {}
    if about.get("model_type", "CrossEncoder") != "CrossEncoder":
        raise InputError(f"{top / PROMPTS}: model_type is {short(about['model_type'])}, no CrossEncoder; {_WAY_OUT}")
    prompts, name = about.get("prompts") or {}, about.get("default_prompt_name")
    if name is not None and (not isinstance(prompts, dict) or prompts.get(name)):
        raise InputError(f"{top / PROMPTS}: puts the prompt {short(name)} before texts, which is not read")
    return Said(
        place=place,
        family=str(tree.get("model_type", "")),
        activation=_activation(top, about, tree),
        max_length=_length(place),
        snapshot=fetched.name is not None,
    )


def _labels(place: Path, tree: dict[str, Any]) -> int:
    """How many numbers the head gives, by what transformers reads."""
    listed = tree.get("architectures")
    kind = str(listed[0]) if isinstance(listed, list) and listed else ""
    if not kind.endswith(_CLASS):
        raise InputError(
            f"{place / CONFIG}: is of {kind[:80] or 'no class'}, and a reranker is of a class …{_CLASS} with one "
            f"label; {_WAY_OUT}"
        )
    table = tree.get("id2label")
    if isinstance(table, dict):
        return len(table)
    number = tree.get("num_labels", 2)
    return number if type(number) is int else 0


def _own_labels(tree: dict[str, Any]) -> int:
    model = tree.get("model")
    heads = model.get("heads") if isinstance(model, dict) else None
    texts = [head for head in heads or () if isinstance(head, dict) and head.get("kind") == "TextHead"]
    labels = texts[0].get("labels") if texts else None
    return len(labels) if isinstance(labels, list) else 0


def _one_label(place: Path, labels: int) -> None:
    if labels != 1:
        told = f"gives {labels} numbers for a pair" if labels else "has no head that gives a number for a pair"
        raise InputError(
            f"{place / CONFIG}: {told}, and a reranker gives one, how well the second text answers the first; "
            f"take a model with one label, or {_WAY_OUT}"
        )


def _activation(top: Path, about: dict[str, Any], tree: dict[str, Any]) -> Activation:
    """What version 6 says, else 4 and 5, else the old ones; where nothing is said it is the sigmoid."""
    newer = tree.get(NEW_KEY)
    told = [about.get("activation_fn"), newer.get("activation_fn") if isinstance(newer, dict) else None]
    name = next((one for one in (*told, tree.get(OLD_KEY)) if one is not None), THEIRS["sigmoid"])
    home, _, kind = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    if (home == "torch.nn" or home.startswith("torch.nn.")) and kind.lower() in ACTIVATIONS:
        return "sigmoid" if kind == "Sigmoid" else "identity"
    raise InputError(f"{top}: puts {short(name)} on its scores; those that are read are Sigmoid and Identity")


def _length(place: Path) -> int | None:
    """`max_seq_length`, and InputError for a Transformer that is read otherwise than for its logits."""
    if not (place / LENGTHS).is_file():
        return None
    tree = _table(place, LENGTHS)
    if tree.get("transformer_task", "sequence-classification") != "sequence-classification":
        raise InputError(f"{place / LENGTHS}: transformer_task must be sequence-classification; {_WAY_OUT}")
    if tree.get("do_lower_case"):
        raise InputError(f"{place / LENGTHS}: do_lower_case is not read; save the tokenizer with lower case in it")
    length = tree.get("max_seq_length")
    if length is not None and (type(length) is not int or length < 1):
        raise InputError(f"{place / LENGTHS}: max_seq_length is {short(length)}, and must be a number of tokens")
    return length


def _table(folder: Path, name: str) -> dict[str, Any]:
    tree = read_json(member(folder, name), most=MOST_BYTES)
    if not isinstance(tree, dict):
        raise InputError(f"{folder / name}: must be a table of settings; it is damaged, copy the folder again")
    return tree
