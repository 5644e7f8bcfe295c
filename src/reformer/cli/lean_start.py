"""Start of a command that uses a trained model, without the parts of torch and transformers that it does not need."""

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

READ_IN = {"torch": "2.13.", "transformers": "5.23."}
"""Versions whose insides were read for what is stood in for here; with others nothing is."""

SERVER = "transformers.generation.continuous_batching"
COMPILER = "torch._dynamo"
INDEXING = f"{COMPILER}._trace_wrapped_higher_order_op"
MARKS = frozenset({"disable", "allow_in_graph", "assume_constant_result", "mark_static_address"})
"""Functions of the compiler that say of a function how it is compiled, and change nothing where it is not."""
NOT_NEEDED = (
    *("is_scipy_available", "is_accelerate_available"),
    *("is_torch_distributed_available", "is_torch_flex_attn_available"),
)
"""Questions of transformers for parts of other packages."""


def start_lean() -> None:
    """Import transformers without what a process that neither compiles, nor shares a model with others, nor serves it,
    nor finds boxes in images has no use for: more than half of its import.

    Four optional parts are said not to be there, as they are not in many installations. Transformers' server is stood
    in for by the names of two classes, torch's compiler by its marks; whoever wants more of the compiler gets the real
    one. The classes of all models, which transformers itself has scanned before, are not scanned again. For the process
    of a command alone: it changes torch and transformers as a whole. Where either has been used before, or is of
    another version than this was written for, nothing is done.
    """
    if "transformers" in sys.modules or COMPILER in sys.modules:
        return
    if not all(version(package).startswith(known) for package, known in READ_IN.items()):
        return
    import torch  # noqa: F401
    from transformers import utils
    from transformers.utils import import_utils

    for name in NOT_NEEDED:
        for module in (utils, import_utils):
            setattr(module, name, _no)
    scan = import_utils.define_import_structure
    import_utils.define_import_structure = lambda path, prefix=None: {} if _of_all_models(path) else scan(path, prefix)
    for name in (SERVER, f"{SERVER}.cache"):
        server = ModuleType(name)
        server.__path__ = []
        vars(server).update({each: type(each, (), {}) for each in ("PagedAttentionCache", "ContinuousMixin")})
        sys.modules[name] = server
    indexing: Any = ModuleType(INDEXING)
    indexing.TransformGetItemToIndex = _real_indexing
    sys.modules |= {COMPILER: _Compiler(), INDEXING: indexing}
    import transformers.generation.utils
    import transformers.modeling_utils  # noqa: F401

    sys.modules.pop(INDEXING, None)
    sys.meta_path.insert(0, _RealCompiler())


class _Compiler(ModuleType):
    """Stands in for the compiler until more of it than its marks is asked for."""

    def __init__(self) -> None:
        super().__init__(COMPILER)
        self.__path__ = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _mark if name in MARKS else getattr(_real_compiler(), name)


class _RealCompiler(MetaPathFinder):
    """Finder that puts the real compiler in place before any module of it is imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not name.startswith(f"{COMPILER}.") or not isinstance(sys.modules.get(COMPILER), _Compiler):
            return None
        _real_compiler()
        return ModuleSpec(name, _Imported())


class _Imported(Loader):
    """Loader of a module that another import has made."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return import_module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """It is made already."""


def _real_compiler() -> ModuleType:
    import torch

    if isinstance(sys.modules.get(COMPILER), _Compiler):
        del sys.modules[COMPILER]
        if "_dynamo" in vars(torch):
            del torch._dynamo
    return import_module(COMPILER)


def _real_indexing() -> Any:
    return import_module(INDEXING).TransformGetItemToIndex()


def _of_all_models(path: Any) -> bool:
    return Path(path) == Path(sys.modules["transformers"].__file__ or "").parent / "models" / "__init__.py"


def _no() -> bool:
    return False


def _mark(function: Callable[..., Any] | None = None, *arguments: Any, **options: Any) -> Any:
    return (lambda other: other) if function is None else function
