"""The families that are read and written, by the `model_type` in their config.json."""

from collections.abc import Mapping

from inlay.convert.bert import BERT
from inlay.convert.family import Family

FAMILIES: Mapping[str, Family] = {family.name: family for family in (BERT,)}
