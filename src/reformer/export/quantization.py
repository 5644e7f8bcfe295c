"""Quantization of ONNX graphs to whole numbers of eight bits, by ONNX Runtime."""

from pathlib import Path

from reformer.export.graphs import check_onnx_packages, without_notes


def quantize_to_int8(graph: Path, quantized: Path) -> None:
    """Write a graph whose weights of products and of embeddings are whole numbers of eight bits, each output channel
    with its own scale; what is multiplied with them is rounded as it comes (dynamic quantization).

    Raises:
        ReformerError: ONNX Runtime or onnx is not installed.
    """
    check_onnx_packages()
    from onnxruntime.quantization import QuantType, quantize_dynamic  # pyright: ignore[reportMissingImports]

    with without_notes():
        quantize_dynamic(str(graph), str(quantized), weight_type=QuantType.QInt8, per_channel=True)
