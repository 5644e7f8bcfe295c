"""Every backend of window attention against the definition and its properties; argument checks; the choice."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from reformer.ops import (
    hash_slots,
    native,
    position_slots,
    random_rotations,
    shared_window_attention,
    unit_vectors,
    window_attention,
)
from reformer.ops.window_attention import BACKENDS, REFUSALS

from ..cases import ALL, ANY, FAST, FEW, LAYOUTS, MISSING, Case, far_apart, make_case, vectors

THREADED = [each for each in FAST if each.values[0] != "triton"]

fuzz = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def some(backend, examples, test):
    """Run `test` on random calls; a kernel in an interpreter on fewer and shorter ones."""
    few = backend == "triton"
    cases = FEW if few else ANY
    settings(fuzz, max_examples=examples // 4 if few else examples)(given(any_=cases)(test))()


def shared_case(length=50, dtype=torch.float64, orderings=2, **options):
    query, value = (vectors(2, 2, length, 16, "length first") for _ in range(2))
    slots = hash_slots(query, random_rotations(2, orderings, 16, 4))
    return Case(query, query, value, slots, None, {"window": 9, **options}).to(dtype)


@pytest.mark.parametrize("backend", FAST)
def test_equals_the_definition_in_float64(backend):
    def check(any_):
        case = make_case(any_)
        assert far_apart(case.run(backend), case.run("reference")) < 1e-12

    some(backend, 60, check)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 6e-2)])
def test_equals_the_definition_in_fewer_digits(backend, dtype, bound):
    def check(any_):
        rounded = make_case(any_).to(dtype)
        assert far_apart(rounded.run(backend), rounded.to(torch.float64).run("reference")) < bound

    some(backend, 30, check)


@pytest.mark.parametrize("backend", THREADED)
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_threads_change_nothing_but_rounding_and_runs_are_equal(backend, threads, rows):
    query, value = vectors(1, rows, 4200, 8), vectors(1, rows, 4200, 8)
    slots = hash_slots(query, random_rotations(rows, 2, 8, 64))
    slots = torch.cat((slots, position_slots(torch.ones(1, 4200, dtype=torch.bool)).expand(1, rows, 1, -1)), 2)
    case = Case(query, query, value, slots, None, {"window": 20, "attend_self": False})
    one = case.run(backend)
    torch.set_num_threads(threads)
    many, again = case.run(backend), case.run(backend)
    assert far_apart(many, one) < 1e-12
    assert all(torch.equal(a, b) for a, b in zip(many, again, strict=True))


@pytest.mark.parametrize("backend", FAST)
def test_a_wide_window_is_full_attention(backend):
    length = 150 if backend == "triton" else 700
    query, key, value = (vectors(1, 2, length, 16) for _ in range(3))
    slots = position_slots(torch.ones(1, length, dtype=torch.bool))
    found = window_attention(query, key, value, slots, window=10**30, causal=True, backend=backend)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    assert far_apart((found,), (expected,)) < 1e-12


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_change_nothing(backend, layout):
    torch.manual_seed(3)
    plain = vectors(2, 3, 40, 20)
    laid_out = vectors(2, 3, 40, 20, layout).copy_(plain)
    slots = position_slots(torch.ones(2, 40, dtype=torch.bool))
    cases = [Case(x, x, x, slots, None, {"window": 7}) for x in (plain, laid_out)]
    assert all(torch.equal(a, b) for a, b in zip(*(case.run(backend) for case in cases), strict=True))


def shared_run(case, backend, wanted=None):
    """As `Case.run`, of queries that are keys of unit length; through `wanted` where that is another function."""
    query, value = (tensor.detach().requires_grad_() for tensor in (case.query, case.value))
    if wanted is None:
        output = shared_window_attention(query, value, case.query_slots, **case.options, backend=backend)
    else:
        output = wanted(query, unit_vectors(query), value, case.query_slots, **case.options, backend=backend)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return output.detach(), *torch.autograd.grad(output, (query, value), weights.to(output.dtype))


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 8e-2)])
def test_shared_queries_are_keys_of_unit_length(backend, dtype, bound):
    some(backend, 30, lambda any_: _check_unit_length(backend, dtype, bound, any_))


def _check_unit_length(backend, dtype, bound, any_):
    case = make_case({**any_, "kind": "shared+position" if "position" in any_["kind"] else "shared"}).to(dtype)
    case = replace(case, query=torch.where(torch.rand(case.query.shape[:3])[..., None] < 0.1, 0, case.query))
    found = shared_run(case, backend)
    expected = shared_run(case.to(torch.float64), "reference", window_attention)
    # A vector of length zero stands for one of no direction at all: its gradient is as large as 1 / SHORTEST.
    real = (case.query != 0).any(-1, keepdim=True)
    assert far_apart((found[0], found[1] * real, found[2]), (expected[0], expected[1] * real, expected[2])) < bound


@pytest.mark.parametrize("threads", [1, 3])
def test_shared_queries_on_several_threads(threads):
    query, value = vectors(1, 2, 4200, 8), vectors(1, 2, 4200, 8)
    slots = hash_slots(query, random_rotations(2, 2, 8, 64))
    case = Case(query, query, value, slots, None, {"window": 20, "causal": True})
    wide = Case(query, query, value, slots, None, {"window": [300, 4], "attend_self": True})
    torch.set_num_threads(threads)
    for each in (case, wide):
        assert far_apart(shared_run(each, None), shared_run(each, "eager")) < 1e-11


@pytest.mark.skipif(MISSING.get("cpu", "there is no such backend") is not None, reason="needs the cpu backend")
@pytest.mark.parametrize("threads", [1, 2])
def test_results_too_large_for_a_cache(threads):
    query, value = (vectors(1, 1, 9000, 64, "length first").float() for _ in range(2))
    mask = torch.rand(1, 9000) < 0.9
    slots = hash_slots(query, random_rotations(1, 1, 64, [64, 64]), mask)
    case = Case(query, query, value, slots, None, {"window": 20, "causal": True, "attend_self": False})
    torch.set_num_threads(threads)
    assert far_apart(shared_run(case, None), shared_run(case, "eager")) < 1e-5
    assert far_apart(case.run("cpu"), case.run("eager")) < 1e-5


@pytest.mark.parametrize("backend", ALL)
def test_a_query_that_sees_nothing_gives_zeros(backend):
    case = shared_case()
    case.query_slots[:, :, :, 5] = -1
    output, *gradients = case.run(backend)
    assert not output[:, :, 5].any()
    assert not any(gradient[:, :, 5].any() for gradient in gradients)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("absent", [0, 1, 2])
def test_a_query_absent_in_one_ordering_keeps_what_it_saw_in_the_others(backend, absent):
    case = shared_case(orderings=3, causal=True)
    case = replace(case, query_slots=case.query_slots.clone(), key_slots=case.query_slots)
    case.query_slots[:, :, absent, 5] = -1
    assert far_apart(case.run(backend), case.run("reference")) < 1e-12


@pytest.mark.parametrize("backend", ALL)
def test_a_token_sees_itself_only_when_it_sees_nothing_else(backend):
    x = vectors(1, 1, 3, 4)
    slots = torch.tensor([0, 1, 100])[None, None, None]
    output = window_attention(x, x, x, slots, window=2, attend_self=False, backend=backend)
    torch.testing.assert_close(output[0, 0], x[0, 0, [1, 0, 2]])


@pytest.mark.parametrize("backend", ALL)
def test_itself_is_the_key_at_its_slot_in_the_last_ordering_that_has_one(backend):
    query, key = torch.ones(1, 1, 1, 4, dtype=torch.float64), torch.zeros(1, 1, 3, 4, dtype=torch.float64)
    value = torch.eye(3, 4, dtype=torch.float64)[None, None]
    key_slots = torch.tensor([[[[5, 4, 3], [4, 5, 3], [2, 3, 4]]]])
    query_slots = torch.tensor([[[[5], [5], [9]]]])
    options = {"window": 3, "causal": True, "attend_self": False}
    case = Case(query, key, value, query_slots, key_slots, options)
    output, *gradients = case.run(backend)
    torch.testing.assert_close(output[0, 0, 0], torch.tensor([0.5, 0, 0.5, 0], dtype=torch.float64))
    assert far_apart((output, *gradients), case.run("reference")) < 1e-12
    assert not gradients[2][0, 0, 1].any()
    alone = Case(query, key, value, query_slots[:, :, :2], key_slots[:, :, :2], {**options, "window": 1})
    # The first ordering shows it another key, the second none but itself.
    torch.testing.assert_close(alone.run(backend)[0][0, 0, 0], value[0, 0, 0])
    torch.testing.assert_close(
        Case(query, key, value, query_slots[:, :, 1:2], key_slots[:, :, 1:2], {**options, "window": 1}).run(backend)[0],
        value[:, :, 1:2],
    )


@pytest.mark.parametrize("backend", ALL)
def test_a_pair_met_twice_weighs_once_or_twice(backend):
    x = vectors(1, 1, 2, 4)
    slots = torch.tensor([[0, 1], [0, 1]])[None, None]
    once = window_attention(x, x, x, slots[:, :, :1], window=2, backend=backend)
    torch.testing.assert_close(window_attention(x, x, x, slots, window=2, backend=backend), once)
    apart = torch.cat((slots[:, :, :1], torch.tensor([[[[0, 9]]]])), 2)
    found = window_attention(x, x, x, apart, window=2, deduplicate=False, backend=backend)
    weights = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64) * (0.5 * x[0, 0] @ x[0, 0].T).exp()
    torch.testing.assert_close(found[0, 0], weights / weights.sum(-1, keepdim=True) @ x[0, 0])


@pytest.mark.parametrize("backend", ALL)
def test_absent_tokens_may_hold_anything(backend):
    mask = torch.rand(2, 30) < 0.6
    x = vectors(2, 2, 30, 8)
    slots = hash_slots(x, random_rotations(2, 2, 8, 4), mask)
    clean = Case(x, x, x, slots, None, {"window": 5})
    poisoned = torch.where(mask[:, None, :, None], x, float("nan"))
    found = Case(poisoned, poisoned, poisoned, slots, None, {"window": 5}).run(backend)
    assert far_apart(found, clean.run(backend)) == 0


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_everything_is_written(backend, dtype):
    case = shared_case(dtype=dtype, attend_self=False)
    case.query_slots[0, :, 0, 20:] = -1
    case.query_slots[1, :, :, :7] = -1
    expected = case.run(backend)
    try:
        torch.use_deterministic_algorithms(True)  # fills what is not initialised with NaN
        found = case.run(backend)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("backend", ALL)
def test_nan_in_a_vector_reaches_those_that_see_it(backend):
    x = vectors(1, 1, 8, 4)
    x[0, 0, 2] = float("nan")
    slots = position_slots(torch.ones(1, 8, dtype=torch.bool))
    output = window_attention(x, x, x, slots, window=2, causal=True, backend=backend)
    assert output[0, 0, 2:4].isnan().all()


@pytest.mark.parametrize("backend", FAST)
def test_editing_the_future_changes_no_bit_before(backend):
    x = vectors(1, 2, 300, 16).float()
    rotations = random_rotations(2, 2, 16, 8)
    edited = x.clone()
    edited[:, :, 150:] = torch.randn(1, 2, 150, 16)
    found = [
        window_attention(y, y, y, hash_slots(y, rotations), window=16, causal=True, attend_self=False, backend=backend)
        for y in (x, edited)
    ]
    difference = (found[0] - found[1])[:, :, :150].abs().max()
    assert difference == 0 if backend == "cpu" else difference < 1e-5


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize(("queries", "keys"), [(0, 5), (5, 0), (0, 0)])
def test_empty_sequences(backend, queries, keys):
    query, key = vectors(1, 2, queries, 8), vectors(1, 2, keys, 8)
    slots = [torch.arange(size).expand(1, 2, 1, size) for size in (queries, keys)]
    output = window_attention(query, key, key, *slots, window=3, backend=backend)
    assert output.shape == query.shape
    assert not output.any()


needs_cpu = pytest.mark.skipif("cpu" not in BACKENDS, reason="there is no such backend")


@needs_cpu
def test_without_kernels_eager_serves_and_the_error_says_why(monkeypatch):
    monkeypatch.setattr(native, "LIBRARY", None)
    monkeypatch.setattr(native, "VARIANT", "no compiler was found")
    case = shared_case()
    assert all(torch.equal(a, b) for a, b in zip(case.run(None), case.run("eager"), strict=True))
    with pytest.raises(ValueError, match="cannot serve this call: no compiler was found"):
        case.run("cpu")


@needs_cpu
def test_half_precision_goes_to_eager():
    case = shared_case(dtype=torch.float16)
    assert all(torch.equal(a, b) for a, b in zip(case.run(None), case.run("eager"), strict=True))
    with pytest.raises(ValueError, match=r"cannot serve this call: .*"):
        case.run("cpu")
    assert REFUSALS["cpu"](case.query, case.key) is not None


def test_an_unknown_backend_is_named():
    with pytest.raises(ValueError, match=f"'gpu' is not one of {', '.join(map(repr, BACKENDS))}"):
        shared_case().run("gpu")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"window": 0}, ValueError, "windows of at least 1"),
        ({"window": [3]}, ValueError, "1 entries for 2 orderings"),
        ({"key": torch.zeros(2, 2, 49, 16)}, ValueError, "key and value alike"),
        ({"query": torch.zeros(2, 3, 50, 16, dtype=torch.float64)}, ValueError, "must agree in batch, heads"),
        ({"query": torch.zeros(2, 2, 50, 16)}, TypeError, "one floating dtype for all three"),
        (
            {name: torch.zeros(2, 2, 50, 0) for name in ("query", "key", "value")},
            ValueError,
            r"query \(2, 2, 50, 0\): expected a head_dim of at least 1",
        ),
        ({"query_slots": torch.zeros(2, 2, 2, 50, dtype=torch.int32)}, TypeError, "expected torch.int64"),
        ({"query_slots": torch.zeros(2, 2, 2, 51, dtype=torch.int64)}, ValueError, r"expected \[2 or 1, 2 or 1"),
    ],
)
def test_a_wrong_argument_is_an_error_that_says_what_was_expected(change, error, message):
    case = shared_case()
    arguments = {
        "query": case.query,
        "key": case.key,
        "value": case.value,
        "query_slots": case.query_slots,
        "window": 3,
    }
    # Undecorated: the checks of annotated shapes, which run in tests alone, would answer first.
    function = getattr(window_attention, "__wrapped__", window_attention)
    with pytest.raises(error, match=message):
        function(**{**arguments, **change})
