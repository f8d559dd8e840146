"""A run folder while a run is at work in it: claimed and locked by one process, its stages made by it, read by all."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inlay import __version__
from inlay.config import to_tree
from inlay.errors import InputError
from inlay.files import claim_output, lock, read_json, write_text
from inlay.stages import Run as Stages
from inlay.stages import clear, nothing_left
from inlay.text.shardfile import Shards
from inlay.tokenize.tokenizer import Tokenizer
from inlay.train.checkpoint import sweep
from inlay.train.run import CHECKPOINTS, Point, find
from inlay.train.world import World

CONFIG, SHARDS = "config.yaml", "shards"
_RUN = "run.json"


@dataclass(frozen=True, eq=False)
class Folder:
    """The folder of a run, in which the first process of a world writes, and the checkpoint that it goes on from."""

    path: Path
    world: World
    stages: Stages | None
    """None for all but the first process."""
    begin: Point | None

    def stage(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder of a stage, which the first process makes while the others wait; no limit of time is on that."""
        self.world.lead(lambda: self.stages.stage(name, make) if self.stages else None)
        return self.path / name

    def shards(self, make: Callable[[Tokenizer, Path], Shards], tokenizer: Tokenizer, place: Path | None) -> Shards:
        """The token shards at `place` or in this folder: made, or read and checked, by the first process."""
        place = place or self.path / SHARDS
        made = self.world.lead(lambda: make(tokenizer, place))
        return made or Shards.open(place, tokenizer, verify=False)


@contextlib.contextmanager
def opened(
    config: Any,
    world: World,
    *,
    resume: str | Path | None,
    force: bool,
    check: Callable[[], Mapping[str, Any]],
) -> Iterator[Folder]:
    """The folder `config.out` of a run, held for as long as it is at work; `config.train` says how long that is.

    `check` raises InputError for what does not go together, before anything is written; it gives the run's identity
    beside the version. Raises InputError for a folder of another run, and for one that another process writes in.
    """
    if config.out is None:
        raise InputError("out is missing; name the run folder: out=DIR")
    if resume is not None and force:
        raise InputError("--resume goes on with a run, --force begins anew; leave one out")
    if not world.first:
        place = world.tell("")
        yield Folder(config.out, world, None, Point.read(Path(place), verify=False) if place else None)
        return
    out = _claimed(config.out, resume is not None, force)
    identity = check()
    named = find(out, resume) if resume != "auto" else None
    with lock(out), nothing_left(out):
        if force:
            clear(out)
        sweep(out)
        sweep(out / CHECKPOINTS)
        stages = Stages(out, {"inlay": __version__, **identity}, resume=resume is not None)
        begin = named or find(out, resume)
        if begin is not None:
            begin.check(config.train)
        _write_yaml(out / CONFIG, to_tree(config))
        world.tell(str(begin.folder) if begin else "")
        yield Folder(out, world, stages, begin)


def _write_yaml(path: Path, tree: Any) -> None:
    """The tree as YAML, its keys in order."""
    import yaml

    write_text(path, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120))


def _claimed(out: Path, resume: bool, force: bool) -> Path:
    """The run folder, once it is certain that the run may be written there; InputError for one that holds another."""
    if not (out / _RUN).is_file():
        if out.is_dir() and not any(entry for entry in out.iterdir() if not entry.name.startswith(".")):
            return out  # killed before it began
        if out.exists():
            what = "a folder that is not empty, and holds no run" if out.is_dir() else "a file"
            raise InputError(f"{out} is {what}; name another folder: out=DIR")
        return claim_output(out, force=False)
    identity = read_json(out / _RUN)
    if not isinstance(identity, dict) or "train" not in dict(identity.get("config") or {}):
        raise InputError(f"{out} holds other work than training, which is left alone; name another folder: out=DIR")
    if not resume and not force:
        raise InputError(f"{out} is a run that was begun; --resume auto goes on with it, --force begins anew")
    return claim_output(out, force=True)
