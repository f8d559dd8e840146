"""Family: how one kind of model lies in a folder of other libraries, both ways, and what a strict reader says of it."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from inlay.convert.entries import canonical
from inlay.convert.names import Names
from inlay.convert.settings import Settings
from inlay.errors import InputError
from inlay.model.init import Normal
from inlay.model.literal import differences
from inlay.model.model import ModelConfig

STARTS = ("pad", "bos", "cls")
"""The roles of what a decoder beside an encoder begins with, where its family does not say otherwise."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A table of names and two functions; whatever reads or writes a family goes through these."""

    name: str
    """The `model_type` in config.json, and `ModelConfig.family`."""
    base: str
    """What the names of the encoder's tensors begin with where there are heads beside it, such as `bert.`; the class
    without heads leaves it out."""
    classes: Mapping[str, frozenset[str]]
    """The classes of transformers and the heads of ours that each has. The first is the one without heads of its own:
    it may lack those that are named."""
    read: Callable[[Settings, frozenset[str]], ModelConfig]
    """The literal for the settings of config.json and the names of the tensors, `base` included."""
    write: Callable[[ModelConfig], dict[str, Any]]
    """The settings for a literal, as far as config.json can say it; `settings` checks that this is all the way."""
    names: Callable[[ModelConfig], Names]
    """The table of names."""
    starts: tuple[str, ...] = STARTS
    """The roles of the token that a decoder beside an encoder begins with: the first that a tokenizer has."""

    def architecture(self, config: ModelConfig) -> str:
        """The class of transformers with these heads; InputError where there is none."""
        heads, (first, *others) = {head.name for head in config.heads}, self.classes
        if heads <= self.classes[first]:
            return first
        # Published checkpoints keep the encoder's pooler beside heads that do not read it.
        for wanted in (heads, heads - self.classes[first]):
            for name in others:
                if wanted == self.classes[name]:
                    return name
        known = "; ".join(" + ".join(sorted(found)) for found in self.classes.values() if found)
        raise InputError(
            f"no class of {self.name} has the heads {' + '.join(sorted(heads))} (there are: {known}); "
            "leave heads out, or save it in inlay's own layout: family='' (--to inlay)"
        )

    def settings(self, config: ModelConfig, ours: Iterable[str]) -> dict[str, Any]:
        """config.json for a literal whose parameters are called so; InputError names the first field that does not fit.

        What a saved model computes is held; how first weights were drawn (`init`) and when the token table learns
        (`input.frozen`) are not part of it.
        """
        names = self.names(config)
        theirs = {their for name in ours for their in names.known(name)}
        tree = {"architectures": [self.architecture(config)], "model_type": self.name, **self.write(config)}
        # Through text and back, as it will be read.
        said = Settings(json.loads(json.dumps(tree)), f"a {self.name} config.json")
        try:
            back = self.read(said, frozenset(theirs))
        except InputError as error:
            raise InputError(f"{self.name} cannot hold this model: {error}; {_OWN}") from None
        for field, given, held in differences(_computed(config), _computed(back)):
            raise InputError(f"{self.name} cannot hold {field}={given} (there it would be {held}); {_OWN}")
        return tree

    def canonical(self, names: Iterable[str]) -> dict[str, str]:
        """Names as in the table, and under each the name in the file: with `base`, and without the oldest spellings."""
        return canonical(names, self.base)

    def tensors(self, config: ModelConfig, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights under the names, and in the shapes, that the family's class for these heads looks for."""
        theirs = self.names(config).theirs(ours)
        if self.architecture(config) == next(iter(self.classes)):
            return {name.removeprefix(self.base): tensor for name, tensor in theirs.items()}
        return theirs


_OWN = "change it, or save the model in inlay's own layout: family='' (--to inlay)"


def _computed(config: ModelConfig) -> ModelConfig:
    """What two configs of the same model have alike, where a field can say a thing in two ways too."""
    stacks = {
        name: replace(stack, n_unique=stack.n_blocks)
        for name in ("encoder", "decoder")
        if (stack := getattr(config, name)) is not None
    }
    heads = tuple(sorted(config.heads, key=lambda head: head.name))
    layer = replace(config.input, frozen="never", d_embed=config.d_embed)
    return replace(config, heads=heads, init=Normal(), input=layer, **stacks)
