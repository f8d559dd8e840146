"""onnxruntime in a process of its own: `python -m inlay.embed.onnx_run MODEL GIVEN.npz GOT.npz`."""

import sys

import numpy as np


def main(model: str, given: str, got: str) -> None:
    """Run the model on inputs named `NUMBER NAME`, and write its outputs under the same numbers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    feeds: dict[int, dict[str, np.ndarray]] = {}
    with np.load(given, allow_pickle=False) as arrays:
        for key in arrays.files:
            number, _, name = key.partition(" ")
            feeds.setdefault(int(number), {})[name] = arrays[key]
    found = {}
    for number, feed in sorted(feeds.items()):
        for name, array in zip(names, session.run(names, feed), strict=True):
            found[f"{number} {name}"] = array
    np.savez(got, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
