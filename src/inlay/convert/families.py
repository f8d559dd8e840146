"""The families that are read and written, by the `model_type` in their config.json."""

from collections.abc import Mapping

from inlay.convert.albert import ALBERT
from inlay.convert.bart import BART
from inlay.convert.bert import BERT
from inlay.convert.distilbert import DISTILBERT
from inlay.convert.electra import ELECTRA
from inlay.convert.family import Family
from inlay.convert.gpt2 import GPT2
from inlay.convert.modernbert import MODERNBERT
from inlay.convert.roberta import CAMEMBERT, ROBERTA, XLM_ROBERTA
from inlay.convert.t5 import T5
from inlay.convert.xlnet import XLNET

_ALL = (BERT, ROBERTA, XLM_ROBERTA, CAMEMBERT, ALBERT, ELECTRA, DISTILBERT, XLNET, T5, BART, GPT2, MODERNBERT)

UNSHARED = frozenset({"", "transformer"})
"""`ModelConfig.family` of architectures that no other library has a layout for: they are saved in inlay's own."""

FAMILIES: Mapping[str, Family] = {family.name: family for family in _ALL}
