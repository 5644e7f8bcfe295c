"""Triton's interpreter made fit for hundreds of tests: it replaces its language at every call of a helper, and once a
launch and module is enough."""

from typing import Any


def replace_the_language_once() -> None:
    """From here on a helper that a kernel calls finds the language as the launch has left it: about twice as fast."""
    from triton.runtime import interpreter  # pyright: ignore[reportMissingImports]

    whole: Any = interpreter._patch_lang
    modules: set[str] = set()

    def once(function: Any) -> Any:
        module = function.__globals__["__name__"]
        if module in modules:
            return None
        scope, launch = whole(function), not modules
        modules.add(module)
        if launch:
            back = scope.restore

            def restore() -> None:
                modules.clear()
                back()

            scope.restore = restore
        return scope

    interpreter._patch_lang = once
