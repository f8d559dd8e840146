"""The families that are read and written, by the `model_type` in their config.json."""

from collections.abc import Mapping

from inlay.convert.albert import ALBERT
from inlay.convert.bert import BERT
from inlay.convert.distilbert import DISTILBERT
from inlay.convert.electra import ELECTRA
from inlay.convert.family import Family
from inlay.convert.roberta import CAMEMBERT, ROBERTA, XLM_ROBERTA

_ALL = (BERT, ROBERTA, XLM_ROBERTA, CAMEMBERT, ALBERT, ELECTRA, DISTILBERT)

FAMILIES: Mapping[str, Family] = {family.name: family for family in _ALL}
