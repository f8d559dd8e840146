"""The model card: a README.md that tells people and model hubs what the model is, how to use it, and its limits."""

import re

from inlay.evaluate.shown import (
    MISSING,
    Tree,
    baseline,
    count,
    items,
    mean,
    megabytes,
    number,
    part,
    query_kinds,
    rows,
    score,
    share,
    shipped,
    text,
)

_TAGS = ["sentence-transformers", "sentence-similarity", "feature-extraction", "static-embeddings", "inlay"]
_CODE = re.compile(r"[a-z]{2,3}")
# What Markdown, and the HTML in it, would read as more than text.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~$&!])")


def card(tree: Tree) -> str:
    """README.md for the tree of an `inlay.json`: YAML front matter, then Markdown; what the tree lacks is left out."""
    sections = [
        _front(tree),
        f"# {'Text embeddings of an encoder' if _encoder(tree) else 'Static text embeddings'}, fitted with inlay",
        _intro(tree),
        _USE,
        _results(tree),
        _data(tree),
        _limits(tree),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


_USE = """## Use

With inlay, which searches with words and vectors as they were measured below:

```console
inlay search path/to/this/folder "how do I …"
```

```python
import inlay

model = inlay.load("path/to/this/folder")
vectors = model.encode(["a text", "another text"])  # (2, dim) float32, of length 1
```

With [Sentence Transformers](https://www.sbert.net), the same vectors without the search by words:

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
vectors = model.encode(["a text", "another text"])
similarities = model.similarity(vectors, vectors)
```"""


def _front(tree: Tree) -> str:
    import yaml

    language = text(tree.get("lang"))
    front = {
        **({"language": [language]} if _CODE.fullmatch(language) else {}),
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": [tag for tag in _TAGS if tag != "static-embeddings" or not _encoder(tree)],
    }
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---"


_MADE = {
    "": "A text's vector is the mean of its tokens' vectors, which were learned from one collection of texts alone.",
    "base": "A text's vector is made by a general encoder, which stands here with the search index of the texts.",
    "fitted": "A text's vector is the mean of its tokens' vectors, which were fitted to what a general encoder made of "
    "one collection of texts.",
    "encoder": "A text's vector is made by a small Transformer that has learned from one collection of texts alone.",
}


def _encoder(tree: Tree) -> bool:
    return part(tree, "model").get("kind") == "encoder"


def _intro(tree: Tree) -> str:
    model, choice = part(tree, "model"), part(tree, "choice")
    told = [_MADE.get(text(choice.get("dense")), _MADE[""])]
    numbers = [
        f"{count(model[key])} {name}"
        for key, name in (("dim", "dimensions"), ("tokens", "tokens"))
        if number(model.get(key)) is not None
    ]
    if megabytes(model.get("megabytes")) != MISSING:
        numbers.append(megabytes(model["megabytes"]))
    if numbers:
        told.append(f"The model has {', '.join(numbers)}, and runs on a CPU without PyTorch.")
    reasons = [_plain(reason) for reason in items(choice, "why") if text(reason)]
    listed = "\n".join(f"- {reason}" for reason in reasons)
    return " ".join(told) + (f"\n\nWhy this one was chosen:\n\n{listed}" if listed else "")


def _results(tree: Tree) -> str:
    rungs, kinds = rows(tree, "ladder"), query_kinds(tree)
    if not rungs or not kinds:
        return ""
    head = ["Method", *(f"{_plain(kind).capitalize()} queries" for kind in kinds), "Mean"]
    lines = [_line(head), _line(["---", *("---:" for _ in head[1:])])]
    for rung in rungs:
        name = _plain(rung.get("name")) or MISSING
        cells = [_scored(part(part(rung, "scores"), kind)) for kind in kinds]
        marked = f"**{name}** (shipped)" if rung is shipped(tree) else name
        lines.append(_line([marked, *cells, score(mean(rung))]))
    reached, before = mean(shipped(tree)), mean(baseline(tree))
    summary = ""
    if reached is not None and before is not None and shipped(tree) is not baseline(tree):
        summary = f"What is shipped reaches {score(reached)} on average, and BM25 {score(before)}. "
    held_out = part(part(tree, "held_out"), "queries")
    asked = [
        f"{count(held_out[kind])} {_plain(kind)} queries" for kind in kinds if number(held_out.get(kind)) is not None
    ]
    told = f"nDCG@10 on {' and '.join(asked) or 'queries'} mined from the texts and held out of training"
    table = "\n".join(lines)
    return f"## Results\n\n{summary}{told}; in brackets the 95 % bootstrap interval.\n\n{table}"


def _scored(scores: Tree) -> str:
    value, low, high = (number(scores.get(key)) for key in ("ndcg@10", "low", "high"))
    if value is None or low is None or high is None:
        return score(value)
    return f"{score(value)} ({score(low)} – {score(high)})"


def _data(tree: Tree) -> str:
    data = part(tree, "data")
    scripts = [(name, number(of_all)) for name, of_all in part(data, "scripts").items()]
    entries = [
        ("Sources", ", ".join(_plain(source) for source in items(data, "sources"))),
        ("Documents read", count(data.get("documents"))),
        ("Duplicates", count(data.get("duplicates"))),
        ("Near duplicates", count(data.get("near_duplicates"))),
        ("Documents kept", count(data.get("kept"))),
        ("Words", count(data.get("words"))),
        ("Language", _plain(data.get("language") or tree.get("lang"))),
        ("Scripts", ", ".join(f"{_plain(name)} {share(of_all)}" for name, of_all in scripts if of_all)),
        ("SHA-256 of the documents", text(data.get("sha256")) if text(data.get("sha256")).isalnum() else ""),
    ]
    listed = "\n".join(f"- {name}: {value}" for name, value in entries if value not in ("", MISSING))
    return f"## Data\n\n{listed}" if listed else ""


def _limits(tree: Tree) -> str:
    static = [
        "It knows the words of its own texts. A text of other words only has the vector zero.",
        "The order of words does not count: “dog bites man” and “man bites dog” have one vector.",
    ]
    limits = [
        *([] if _encoder(tree) else static),
        "It was made for search within texts like its own. On other subjects or languages a general model does better.",
        "What is biased in the texts is biased in the vectors.",
    ]
    if rows(tree, "ladder"):
        limits.insert(
            0,
            "The queries of the results were mined from the texts, and the choice was made on them: they compare "
            "methods, and flatter what was chosen a little. Judge it by your own queries too (`inlay evaluate`).",
        )
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(value: object) -> str:
    """Text from the tree as Markdown that shows exactly this text, on one line."""
    return _MARKUP.sub(r"\\\1", text(value))
