"""Lexical: BM25 over the analyzed terms of the documents (Robertson & Zaragoza 2009), scored by bm25s."""

# Q queries, N documents, V terms

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from inlay.errors import InputError, missing_extra
from inlay.files import atomic_folder, read_json, verify_checksums, write_checksums, write_json
from inlay.text.words import analyzer

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

_HEADER, _TERMS, _ARRAYS = "lexical.json", "terms.json", "scores.safetensors"
_FORMAT = "inlay-lexical-1"


class Lexical:
    """What each term of the vocabulary adds to the score of each document: a sparse matrix (N, V) float32.

    A query is a bag of weighted terms, and its scores are one sparse product; so feedback can weigh terms as it likes.
    """

    def __init__(self, weights: "csc_matrix", terms: list[str], lang: str) -> None:
        self.weights, self.terms, self.lang = weights, terms, lang
        self._number = {term: number for number, term in enumerate(terms)}
        self._analyze = analyzer(lang)

    def __len__(self) -> int:
        return int(self.weights.shape[0])

    @classmethod
    def build(cls, texts: Iterable[str], lang: str, *, k1: float = 1.5, b: float = 0.75) -> Self:
        """BM25 of the texts, terms by `inlay.text.words.analyzer`; the variant of Lucene, with its usual k1 and b."""
        from scipy.sparse import csc_matrix

        try:
            from bm25s import BM25
        except ImportError:
            raise missing_extra("lexical search", "bm25s", "search") from None
        analyze = analyzer(lang)
        number: dict[str, int] = {}
        documents = [[number.setdefault(term, len(number)) for term in analyze(text)] for text in texts]
        shape = (len(documents), max(len(number), 1))
        if not number:
            return cls(csc_matrix(shape, dtype=np.float32), [], lang)
        bm25 = BM25(k1=k1, b=b, method="lucene", dtype="float32")
        scores = bm25.build_index_from_ids(list(range(len(number))), documents, show_progress=False)
        return cls(csc_matrix((scores["data"], scores["indices"], scores["indptr"]), shape=shape), list(number), lang)

    def queries(self, texts: Sequence[str]) -> "csr_matrix":
        """(Q, V) float32: how often each known term stands in each query."""
        from scipy.sparse import csr_matrix

        rows: list[int] = []
        columns: list[int] = []
        for row, text in enumerate(texts):
            known = [self._number[term] for term in self._analyze(text) if term in self._number]
            rows += [row] * len(known)
            columns += known
        shape = (len(texts), self.weights.shape[1])
        return csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)

    def scores(self, queries: "csr_matrix") -> NDArray[np.float32]:
        """(Q, N) the BM25 scores of weighted queries (Q, V)."""
        scores = np.empty((queries.shape[0], len(self)), np.float32)
        for row in range(queries.shape[0]):
            # Only the query's own columns are touched: a product with the whole matrix would copy it.
            start, stop = queries.indptr[row], queries.indptr[row + 1]
            scores[row] = self.weights[:, queries.indices[start:stop]] @ queries.data[start:stop]
        return scores

    @cached_property
    def documents(self) -> "csr_matrix":
        """(N, V) the same weights by document."""
        return self.weights.tocsr()

    def save(self, folder: str | Path) -> None:
        """Write the matrix and the terms as a folder with checksums, whole or not at all."""
        from safetensors.numpy import save_file

        with atomic_folder(folder) as part:
            n_documents, n_terms = map(int, self.weights.shape)
            write_json(
                part / _HEADER, {"format": _FORMAT, "lang": self.lang, "documents": n_documents, "terms": n_terms}
            )
            (part / _TERMS).write_text(json.dumps(self.terms), encoding="ascii")
            save_file(
                {
                    "data": self.weights.data.astype(np.float32),
                    "indices": self.weights.indices.astype(np.int32),
                    "indptr": self.weights.indptr.astype(np.int64),
                },
                part / _ARRAYS,
            )
            write_checksums(part)

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True) -> Self:
        """Open what `save` wrote; InputError where a file is missing, damaged or does not fit the others."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
        from scipy.sparse import csc_matrix

        folder = Path(folder)
        if verify and not verify_checksums(folder):
            raise InputError(f"{folder}: its checksums are missing; copy the folder again, or fit the model again")
        header, terms = read_json(folder / _HEADER), read_json(folder / _TERMS)
        try:
            if header["format"] != _FORMAT or not isinstance(terms, list):
                raise ValueError("unknown format")
            arrays = load_file(folder / _ARRAYS)
            shape = (int(header["documents"]), int(header["terms"]))
            weights = csc_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
            weights.check_format(full_check=True)
            if len(terms) not in (shape[1], 0) or not np.isfinite(weights.data).all():
                raise ValueError("terms and weights do not fit")
            return cls(weights, terms, str(header["lang"]))
        except (KeyError, TypeError, ValueError, OSError, SafetensorError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{folder}: no sound lexical index ({error}); fit the model again") from None
