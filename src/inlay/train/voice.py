"""Which of many processes says why they end: the first that fails. The others end for its sake, and without a word."""

import functools
import os
from datetime import timedelta

import torch.distributed as dist

_WAIT = timedelta(seconds=10)


def attempt() -> str:
    """What tells this start of the processes from earlier ones, which left their words in the same store."""
    return f"inlay/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{os.environ.get('WORLD_SIZE', '1')}"


@functools.cache  # the store may be gone when it is asked again
def speaks() -> bool:
    """Whether this is the process that speaks: the first one that asked. Each gets the same answer whenever it asks.

    They agree through the store by which torchrun brings them together; one that cannot reach it speaks.
    """
    rank, address, port = (os.environ.get(name) for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"))
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # else the first process has it, once they met
    if rank is None or address is None or port is None or not (kept or dist.is_initialized()):
        return True
    try:
        store = dist.TCPStore(address, int(port), is_master=False, timeout=_WAIT)
        return store.compare_set(f"{attempt()}/voice", "", rank) == rank.encode()
    except (dist.DistError, RuntimeError, ValueError):
        return True
