"""Sums of words as people write them: `king - man + woman`."""

from inlay.errors import InputError

_SIGNS = {"+": 1.0, "-": -1.0}


def parse_sum(text: str) -> dict[str, float]:
    """The weight of each word of `king - man + woman`: +1 or -1, or the number before it as in `2 king - man`.

    Signs stand between spaces, so that a word may hold them. Raises InputError for another order of words and signs.
    """
    weights: dict[str, float] = {}
    sign, factor, expects_word = 1.0, 1.0, True
    fields = text.split()
    for place, field in enumerate(fields):
        if field in _SIGNS:
            if expects_word and place > 0:
                raise _wrong(text, f"{field!r} after {fields[place - 1]!r}")
            sign, factor, expects_word = _SIGNS[field], 1.0, True
        elif not expects_word:
            raise _wrong(text, f"no sign between {fields[place - 1]!r} and {field!r}")
        elif field.replace(".", "", 1).isdecimal() and place + 1 < len(fields) and fields[place + 1] not in _SIGNS:
            factor = float(field)
        else:
            weights[field] = weights.get(field, 0) + sign * factor
            expects_word = False
    if expects_word:
        raise _wrong(text, f"a sign at the end, {fields[-1]!r}" if fields else "nothing")
    return weights


def _wrong(text: str, fault: str) -> InputError:
    return InputError(f"{text!r} is no sum of words ({fault}); write it as: king - man + woman")
