"""Machine code that is kept on disk: used again, but not after a change of any source that it was made of."""

import subprocess
import sys

CODE = """
import sys
import inlay.vectors
inlay.vectors.__path__.append(sys.argv[1])
from inlay.vectors.high_kernels import high
print(high(1))
"""


def test_a_change_of_what_a_kernel_calls_is_noticed(tmp_path):
    (tmp_path / "high_kernels.py").write_text(
        "from inlay.vectors.compiled import exact\n"
        "from inlay.vectors.low_kernels import low\n\n"
        "@exact\ndef high(x):\n    return 10 * low(x)\n"
    )
    said = []
    for step in (1, 1, 2):
        (tmp_path / "low_kernels.py").write_text(
            f"from inlay.vectors.compiled import exact\n\n@exact\ndef low(x):\n    return x + {step}\n"
        )
        run = [sys.executable, "-B", "-c", CODE, str(tmp_path)]
        done = subprocess.run(run, capture_output=True, text=True, check=True)
        said.append((done.stdout.strip(), "compiling kernels" in done.stderr))
    assert said == [("20", True), ("20", False), ("30", True)]
