"""Models as graphs that run without this package's code: ONNX, and programs of `torch.export`."""

from reformer.export.graphs import Exported, export_model, exported_program
from reformer.export.run_folder import ExportedRun, export_run

__all__ = ["Exported", "ExportedRun", "export_model", "export_run", "exported_program"]
