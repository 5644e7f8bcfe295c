"""Models as graphs that run without this package's code: ONNX, and programs of `torch.export`."""

from reformer.export.graphs import Exported, export_model, exported_program

__all__ = ["Exported", "export_model", "exported_program"]
