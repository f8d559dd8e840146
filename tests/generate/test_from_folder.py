"""A model's folder tells which ids begin and end a text; the reference library, reading the same, writes the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

import reference_models as reference
from reference_models import V, ended

from inlay.convert import load_model
from inlay.errors import InputError
from inlay.generate.config import GenerationConfig, Greedy
from inlay.generate.folder import FILE, from_folder
from inlay.generate.write import generate_ids
from inlay.model.presets import preset

PROMPTS = [[5, 17, 40], [8, 3, 66, 20, 91, 4, 33, 12], [70]]
Folder = Callable[..., Path]
GPT2, T5 = (preset(f"{name}-tiny") for name in ("gpt2", "t5"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder with these two files; a file that is None is not there."""

    def one(generation: Any, config: Any = None) -> Path:
        for name, tree in ((FILE, generation), ("config.json", config)):
            if tree is not None:
                (tmp_path / name).write_text(json.dumps(tree))
        return tmp_path

    return one


def told(place: Path, model: Any = GPT2, **settings: Any) -> tuple[Any, Any]:
    found = from_folder(GenerationConfig(**settings), place, model)
    return found.eos, found.start


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_texts_begin_and_end_where_the_reference_library_begins_and_ends_them(tmp_path: Path, family: str) -> None:
    theirs, ours = getattr(reference, family)(3)
    settings: dict[str, Any] = {"max_new_tokens": 24}
    start = {"start": 7} if family == "t5" else {}
    free = [list(one.ids) for one in generate_ids(ours, PROMPTS, GenerationConfig(**settings, **start))]
    eos = sorted({free[0][5], free[1][9]})
    theirs.generation_config.eos_token_id, theirs.generation_config.pad_token_id = eos, 0
    theirs.generation_config.decoder_start_token_id = 7
    theirs.generation_config.do_sample = True  # which is not taken over
    theirs.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    config = from_folder(GenerationConfig(**settings), tmp_path, model.config)
    for prompt in PROMPTS:
        with torch.inference_mode():
            expected = theirs.generate(torch.tensor([prompt]), do_sample=False, **settings)[0].tolist()
        (text,) = generate_ids(model, [prompt], config)
        assert list(text.ids) == ended(expected[1 if start else len(prompt) :], eos)
    assert {one.ended for one in generate_ids(model, PROMPTS, config)} >= {"eos"}
    assert config.strategy == Greedy()


def test_what_the_caller_says_goes_first_then_the_file_of_generation_then_the_config(folder: Folder) -> None:
    place = folder({"eos_token_id": [4, 2], "bos_token_id": None}, {"eos_token_id": 9, "bos_token_id": 8})
    assert told(place) == ((4, 2), 8)
    assert told(place, eos=(1,), start=0) == ((1,), 0)
    assert told(place, eos=()) == ((), 8)
    assert from_folder(GenerationConfig(max_new_tokens=3), place, GPT2).max_new_tokens == 3


def test_a_decoder_that_reads_a_source_has_a_start_of_its_own(folder: Folder) -> None:
    place = folder({"bos_token_id": 3}, {"decoder_start_token_id": 5})
    assert told(place, GPT2) == (None, 3)
    assert told(place, T5) == (None, 3)
    assert told(folder({"bos_token_id": 3, "decoder_start_token_id": 6}), T5) == (None, 6)


def test_a_folder_that_says_nothing_leaves_it_open(folder: Folder) -> None:
    assert told(folder(None)) == (None, None)
    assert told(folder({"do_sample": True, "temperature": 0.1, "eos_token_id": []}, {})) == (None, None)


def test_an_id_beyond_the_vocabulary_says_nothing(folder: Folder) -> None:
    most = GPT2.vocab_size
    assert told(folder({"eos_token_id": [most, most - 1], "bos_token_id": most})) == ((most - 1,), None)
    assert told(folder({"eos_token_id": 10**30}, {"eos_token_id": V})) == ((V,), None)


@pytest.mark.parametrize("name", [FILE, "config.json"])
@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"eos_token_id": "</s>"}, "eos_token_id must be an id from 0 on, or a list of ids, not '</s>'"),
        ({"eos_token_id": [1, True]}, "eos_token_id must be an id from 0 on, or a list of ids, not [1, True]"),
        ({"eos_token_id": [[1]]}, "eos_token_id must be"),
        ({"eos_token_id": -1}, "eos_token_id must be"),
        ({"eos_token_id": 2.0}, "eos_token_id must be"),
        ({"bos_token_id": [1]}, "bos_token_id must be an id from 0 on, not [1]"),
        ({"bos_token_id": False}, "bos_token_id must be an id from 0 on, not false"),
        ([], "must be a table of settings"),
        ({"auto_map": {"AutoModel": "code.Model"}}, "never done"),
    ],
)
def test_what_is_no_id_is_one_line_that_names_the_file_and_the_key(
    folder: Folder, name: str, tree: Any, said: str
) -> None:
    place = folder(*((tree, None) if name == FILE else (None, tree)))
    with pytest.raises(InputError) as error:
        told(place)
    message = str(error.value)
    assert said in message
    assert str(place / name) in message
    assert "\n" not in message


def test_a_damaged_file_is_named(folder: Folder) -> None:
    place = folder({})
    (place / FILE).write_text('{"eos_token_id": 1, "eos_token_id": 2}')
    with pytest.raises(InputError, match=f"{FILE}: not JSON .*twice"):
        told(place)
