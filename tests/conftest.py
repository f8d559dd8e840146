"""Where the real data is: the folder named by INLAY_DATA, or the tests that need it are skipped, saying so."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    folder = os.environ.get("INLAY_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the real data: set INLAY_DATA to its folder")
    return Path(folder).resolve()
