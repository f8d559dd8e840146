"""Errors say the way out."""

from inlay.errors import InputError, did_you_mean, missing_extra


def test_a_close_name_is_proposed_and_else_all_are_listed() -> None:
    assert did_you_mean("n_layer", ["n_layers", "dropout"]) == "; did you mean 'n_layers'?"
    assert did_you_mean("xyz", iter(["n_layers", "dropout"])) == "; choose from n_layers, dropout"


def test_a_missing_package_is_named_with_the_command_that_brings_it() -> None:
    error = missing_extra("BM25", "bm25s", "search")
    assert isinstance(error, InputError)
    assert str(error) == "BM25 needs bm25s: pip install 'inlay[search]'"


def test_the_users_errors_are_value_errors() -> None:
    assert issubclass(InputError, ValueError)
