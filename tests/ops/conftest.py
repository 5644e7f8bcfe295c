"""What the tests of several ops share."""

import pytest

from reformer.ops import native


@pytest.fixture(params=native.VARIANTS)
def variant(request, monkeypatch):
    """Every variant of the kernels that this processor can run, in turn."""
    if native.LIBRARY is None:
        pytest.skip(native.VARIANT)
    monkeypatch.setenv(native.CHOICE, request.param)
    try:
        library, name = native._load()
    except native.ReformerError as error:
        pytest.skip(str(error))
    library.reformer_prefer_large_pages.argtypes = native.LIBRARY.reformer_prefer_large_pages.argtypes
    library.reformer_prefer_large_pages.restype = None
    monkeypatch.setattr(native, "LIBRARY", library)
    monkeypatch.setattr(native, "VARIANT", name)
