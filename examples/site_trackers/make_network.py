"""Write a network that can be tried at once: `python make_network.py network.onnx` (needs the package onnx).

It is not trained. Its layers compute what a trained tracker of the Siamese kind learns to do better: at half the
resolution it correlates the reference's target with the frame at every shift within 16 px, turns the correlations into
the probability of each shift, and moves the reference's mask by them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

REACH = 8  # px at half the resolution
SHARPNESS = 25.0  # a larger one takes the best shift alone, in steps of two pixels


def network() -> onnx.ModelProto:
    """Return the network, with rows and columns left free."""
    image = [1, 1, "rows", "columns"]
    inputs = ("frame", "reference_frame", "reference_mask")
    graph = helper.make_graph(
        [helper.make_node(kind, takes.split(" "), [gives], **how) for kind, takes, gives, how in layers()],
        "correlation",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, image) for name in inputs],
        [
            helper.make_tensor_value_info("target_mask", TensorProto.FLOAT, image),
            helper.make_tensor_value_info("confidence", TensorProto.FLOAT, [1]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants().items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def constants() -> dict[str, object]:
    """Return the tensors that the layers name."""
    side = 2 * REACH + 1
    return {
        "pads": np.array([0, 0, REACH, REACH, 0, 0, REACH, REACH]),
        "tiny": np.float32(1e-6),
        "sharp": np.float32(SHARPNESS),
        "flat": np.array([1, -1]),
        "square": np.array([1, 1, side, side]),
        "last": np.array([-1, -1]),
        "first": np.array([-side - 1, -side - 1]),
        "axes": np.array([2, 3]),
        "steps": np.array([-1, -1]),
        "low": np.float32(0),
        "high": np.float32(1),
    }


def layers() -> list[tuple[str, str, str, dict[str, object]]]:
    """Return the layers: operator, what it takes, what it gives, attributes."""
    half = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}
    return [
        ("AveragePool", "frame", "small", half),
        ("AveragePool", "reference_frame", "small_reference", half),
        ("AveragePool", "reference_mask", "small_mask", half),
        # The target without its mean, and its norm
        ("ReduceSum", "small_mask", "area", {"keepdims": 1}),
        ("Mul", "small_reference small_mask", "inside", {}),
        ("ReduceSum", "inside", "sum", {"keepdims": 1}),
        ("Div", "sum area", "mean", {}),
        ("Sub", "small_reference mean", "centred", {}),
        ("Mul", "centred small_mask", "template", {}),
        ("Mul", "template centred", "squares", {}),
        ("ReduceSum", "squares", "energy", {"keepdims": 1}),
        # The frame under the mask at every shift
        ("Pad", "small pads", "padded", {"mode": "edge"}),
        ("Mul", "padded padded", "padded_squares", {}),
        ("Conv", "padded template", "products", {}),
        ("Conv", "padded small_mask", "frame_sum", {}),
        ("Conv", "padded_squares small_mask", "frame_squares", {}),
        ("Mul", "frame_sum frame_sum", "sum_squares", {}),
        ("Div", "sum_squares area", "mean_squares", {}),
        ("Sub", "frame_squares mean_squares", "frame_energy", {}),
        ("Mul", "frame_energy energy", "energies", {}),
        ("Max", "energies tiny", "some", {}),
        ("Sqrt", "some", "norm", {}),
        ("Div", "products norm", "correlation", {}),
        # From correlations to probabilities of shifts, and to the moved mask
        ("Mul", "correlation sharp", "sharpened", {}),
        ("Reshape", "sharpened flat", "row", {}),
        ("Softmax", "row", "weights", {"axis": 1}),
        ("Reshape", "weights square", "shifts", {}),
        ("Slice", "shifts last first axes steps", "kernel", {}),
        ("Pad", "small_mask pads", "padded_mask", {"mode": "constant"}),
        ("Conv", "padded_mask kernel", "small_target", {}),
        ("Shape", "frame", "size", {}),
        ("Resize", "small_target   size", "resized", {"mode": "linear"}),
        ("Clip", "resized low high", "target_mask", {}),
        # The best correlation serves as confidence; a trained network's is fitted to known errors
        ("Reshape", "correlation flat", "all", {}),
        ("ReduceMax", "all", "best", {"axes": [1], "keepdims": 0}),
        ("Clip", "best low high", "confidence", {}),
    ]


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(network().SerializeToString())
