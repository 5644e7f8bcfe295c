"""NaN, infinities, and the largest and smallest numbers in every kernel: each reaches the queries that see it alone."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reformer.ops import (
    Polynomial,
    Sinh,
    hash_buckets,
    native,
    position_slots,
    random_rotations,
    shared_window_attention,
    unit_vectors,
    window_attention,
)
from reformer.ops.window_attention import reference

from ..cases import ALL, ANY, make_case

DTYPES = (torch.float32, torch.float64, torch.bfloat16)
NOT_FINITE = (float("nan"), float("inf"), float("-inf"))
TRANSFORMS = {
    "none": lambda heads: None,
    "polynomial": lambda heads: Polynomial(torch.tensor([[0.1, -0.01]]).expand(heads, -1)),
    "sinh": lambda heads: Sinh(torch.tensor([[0.3]]).expand(heads, -1)),
}

BACKENDS = ["reference", "eager", *(["cpu"] if native.LIBRARY is not None else [])]

CALLS = st.tuples(
    ANY.map(lambda any_: {**any_, "heads": min(2, any_["heads"]), "head_dim": min(24, any_["head_dim"])}),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(DTYPES),
            "share": st.sampled_from([0.02, 0.2, 1.0]),
            "where": st.sets(st.sampled_from(["query", "key", "value"]), min_size=1),
            "whole": st.booleans(),
            "transform": st.sampled_from(list(TRANSFORMS)),
            "unit": st.booleans(),
        }
    ),
)

examples = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Poisoned:
    """A random call, some of whose numbers are others than in `clean`."""

    def __init__(self, any_, how, numbers):
        if how["unit"]:
            any_ = {**any_, "kind": "shared+position" if "position" in any_["kind"] else "shared"}
        clean = make_case(any_).to(how["dtype"])
        self.options = {**clean.options, "transform": TRANSFORMS[how["transform"]](clean.query.shape[1])}
        if self.options["scale"] is None:
            self.options["scale"] = clean.query.shape[-1] ** -0.5
        self.unit = how["unit"]
        self.query_slots = clean.query_slots
        self.key_slots = clean.query_slots if clean.key_slots is None else clean.key_slots
        self.clean = {"query": clean.query, "value": clean.value}
        if not self.unit:
            self.clean["key"] = clean.key
        self.tensors, self.bad = {}, {}
        for name, tensor in self.clean.items():
            some = torch.rand(tensor.shape[:3]) < (how["share"] if name in how["where"] else 0)
            at = some[..., None] & ((torch.rand(tensor.shape) < 0.3) | how["whole"])
            drawn = torch.tensor(numbers, dtype=torch.float64)[torch.randint(len(numbers), tensor.shape)]
            self.tensors[name] = torch.where(at, drawn.to(tensor.dtype), tensor)
            self.bad[name] = at.any(-1)
        self.bad.setdefault("key", self.bad["query"])

    def run(self, tensors, backend="cpu"):
        """The output, and the gradients by name."""
        vectors = {name: tensor.detach().clone().requires_grad_() for name, tensor in tensors.items()}
        if self.unit:
            call, slots = shared_window_attention, {"slots": self.query_slots}
        else:
            call, slots = window_attention, {"query_slots": self.query_slots, "key_slots": self.key_slots}
        windows = self.options["window"]
        options = {name: option for name, option in self.options.items() if name != "window"}
        output = call(**vectors, **slots, window=windows, **options, backend=backend)
        gradients = torch.autograd.grad(output, list(vectors.values()), torch.ones_like(output))
        return output.detach(), dict(zip(vectors, gradients, strict=True))

    def pairs(self):
        """How often each pair counts, and which queries see nothing but themselves."""
        windows = tuple(self.options["window"])
        count, itself = reference.times_seen(self.query_slots, self.key_slots, windows, self.options["causal"])
        alone = torch.zeros_like(count[..., :1], dtype=torch.bool)
        if not self.options["attend_self"]:
            alone = ~count.masked_fill(itself, 0).any(-1, keepdim=True)
            count = count.masked_fill(itself & ~alone, 0)
        return (count.clamp_max(1) if self.options["deduplicate"] else count), alone

    def expected(self):
        """The definition in float64, in which a pair that does not count leaves no trace, not even of NaN."""
        query, value = self.tensors["query"].double(), self.tensors["value"].double()
        key = unit_vectors(self.tensors["query"]).double() if self.unit else self.tensors["key"].double()
        count, alone = self.pairs()
        scores = (self.options["scale"] * query @ key.mT).masked_fill(alone, 0)
        if self.options["transform"] is not None:
            coefficients = self.options["transform"].coefficients.double()[:, None, None]
            scores = self.options["transform"].value(scores, coefficients)
        scores = scores.masked_fill(count == 0, float("-inf"))
        weights = count * (scores - scores.amax(-1, keepdim=True).clamp_min(-1e300)).exp()
        weights = weights / weights.sum(-1, keepdim=True)
        return (weights[..., None] * value[..., None, :, :]).masked_fill((count == 0)[..., None], 0).sum(-2)

    def touched(self):
        """The queries that hold or see one of the other numbers."""
        count, _ = self.pairs()
        seen = ((count > 0) & (self.bad["key"] | self.bad["value"])[..., None, :]).any(-1)
        return seen | (self.bad["query"] & count.any(-1))


@pytest.mark.usefixtures("variant")
def test_nan_and_infinities_reach_those_that_see_them_and_no_others():
    @examples
    @given(call=CALLS)
    def check(call):
        _check_not_finite(*call)

    check()


def _check_not_finite(any_, how):
    poisoned = Poisoned(any_, how, NOT_FINITE)
    expected, touched = poisoned.expected(), poisoned.touched()
    output, gradients = poisoned.run(poisoned.tensors)
    clean, _ = poisoned.run(poisoned.clean)
    assert torch.equal(output[~touched], clean[~touched])
    assert torch.equal(output.isfinite(), expected.isfinite())
    finite = expected.isfinite()
    bound = 8e-2 if how["dtype"] == torch.bfloat16 else 1e-5
    assert ((output - expected)[finite].abs() <= bound * (1 + expected[finite].abs())).all()
    _, alone = poisoned.pairs()
    lost = ~expected.isfinite().all(-1) & ~alone[..., 0] & gradients["query"].isfinite().all(-1)
    assert not lost.any()
    _check_absent_gradients(poisoned, gradients)


def _check_absent_gradients(poisoned, gradients):
    for name, slots in (("query", poisoned.query_slots), ("key", poisoned.key_slots), ("value", poisoned.key_slots)):
        if name in gradients:
            present = (slots >= 0).any(2)[..., None]
            assert not gradients[name].masked_fill(present, 0).any()


@pytest.mark.usefixtures("variant")
def test_the_largest_and_smallest_numbers_reach_those_that_see_them_and_no_others():
    @examples
    @given(call=CALLS, small=st.booleans())
    def check(call, small):
        any_, how = call
        info = torch.finfo(how["dtype"])
        numbers = (info.tiny, -info.tiny, info.tiny * info.eps) if small else (info.max, info.min, info.max**0.5)
        poisoned = Poisoned(any_, how, numbers)
        output, gradients = poisoned.run(poisoned.tensors)
        clean, _ = poisoned.run(poisoned.clean)
        touched = poisoned.touched()
        assert torch.equal(output[~touched], clean[~touched])
        _check_absent_gradients(poisoned, gradients)
        if small:
            bound = 8e-2 if how["dtype"] == torch.bfloat16 else 1e-5
            expected = poisoned.expected()
            assert ((output - expected).abs() <= bound * (1 + expected.abs())).all()

    check()


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("number", NOT_FINITE)
@pytest.mark.parametrize("attend_self", [False, True])
def test_absent_tokens_change_nothing_and_get_gradients_of_zero(backend, unit, transform, number, attend_self):
    any_ = {
        "seed": 0, "batch": 2, "heads": 2, "head_dim": 8, "length": 40, "queries": 20, "present": 0.5,
        "layouts": ["heads first"] * 3, "kind": "shared+position", "gaps": 1, "rounds": 2, "buckets": 4,
        "windows": [3, 5, 4], "causal": True, "attend_self": attend_self, "deduplicate": True, "scale": None,
    }  # fmt: skip
    how = {
        "dtype": torch.float32, "share": 0, "where": set(), "whole": True, "transform": transform, "unit": unit,
    }  # fmt: skip
    case = Poisoned(any_, how, NOT_FINITE)
    absent = ~(case.query_slots >= 0).any(2)[..., None]
    assert absent.any()
    clean, clean_gradients = case.run(case.clean, backend)
    filled = {name: tensor.masked_fill(absent, number) for name, tensor in case.clean.items()}
    found, gradients = case.run(filled, backend)
    assert torch.equal(found, clean)
    for name, gradient in gradients.items():
        assert torch.equal(gradient, clean_gradients[name])
        assert not gradient.masked_fill(~absent, 0).any()


@pytest.mark.parametrize("backend", ALL)
def test_scores_of_minus_infinity_alone_are_not_a_query_that_sees_nothing(backend):
    query, key, value = torch.ones(1, 1, 3, 4), torch.ones(1, 1, 3, 4), torch.ones(1, 1, 3, 4)
    key[0, 0, 0] = float("-inf")
    slots = torch.tensor([[[[0, 5, 10]]]])
    output = window_attention(query, key, value, slots, window=2, backend=backend)
    assert output[0, 0, 0].isnan().all()
    assert torch.equal(output[0, 0, 1:], value[0, 0, 1:])


@pytest.mark.usefixtures("variant")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [*NOT_FINITE, 3e38, -3e38, 1e-40])
def test_buckets_of_any_numbers_are_in_range(dtype, number):
    vectors = torch.randn(1, 2, 130, 20, dtype=torch.float64).to(dtype)
    rotations = random_rotations(2, 3, 20, [6, 4])
    clean = hash_buckets(vectors, rotations)
    vectors[:, :, 7], vectors[:, :, 100, 3] = number, number
    buckets = hash_buckets(vectors, rotations)
    assert ((buckets >= 0) & (buckets < 24)).all()
    others = [i for i in range(130) if i not in (7, 100)]
    assert torch.equal(buckets[..., others], clean[..., others])


@pytest.mark.usefixtures("variant")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", NOT_FINITE)
def test_unit_vectors_of_other_tokens_stay(dtype, number):
    clean = torch.randn(2, 2, 50, 20, dtype=torch.float64).to(dtype)
    vectors = clean.clone()
    vectors[:, :, 7], vectors[:, :, 30, 3] = number, number
    others = [i for i in range(50) if i not in (7, 30)]
    found, expected = [], []
    for results, given_ in ((found, vectors), (expected, clean)):
        given_.requires_grad_()
        units = unit_vectors(given_)
        results += [units, *torch.autograd.grad(units, given_, torch.ones_like(units))]
    assert all(torch.equal(a[:, :, others], b[:, :, others]) for a, b in zip(found, expected, strict=True))
    assert not any(each[:, :, 7].isfinite().any() for each in found)


@pytest.mark.parametrize("backend", ALL)
def test_slots_as_far_apart_as_they_may_be(backend):
    x = torch.randn(1, 1, 4, 8, dtype=torch.float64)
    slots = torch.tensor([[[[0, 2**62 - 1, -(2**63), 2**62 - 2]]]])
    output = window_attention(x, x, x, slots, window=2, backend=backend)
    near = position_slots(torch.tensor([[True, True, False, True]]))
    assert torch.equal(output[0, 0, 0], x[0, 0, 0])
    assert not output[0, 0, 2].any()
    pair = window_attention(x[:, :, 1::2], x[:, :, 1::2], x[:, :, 1::2], near[..., :2], window=2, backend=backend)
    torch.testing.assert_close(output[0, 0, 1::2], pair[0, 0])


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("backend", "dtype"),
    # The definition in bfloat16 is left out: the products it is made of are PyTorch's.
    [(backend, torch.float32) for backend in BACKENDS] + [(backend, torch.bfloat16) for backend in BACKENDS[1:]],
)
def test_one_bad_query_spoils_its_own_output_alone(backend, dtype, number):
    query, key, value = (torch.randn(1, 2, 70, 16).to(dtype) for _ in range(3))
    slots = position_slots(torch.ones(1, 70, dtype=torch.bool)).expand(-1, 2, -1, -1)
    options = {"window": 9, "causal": True, "backend": backend}
    expected = window_attention(query, key, value, slots, **options)
    query[0, 1, 40] = number
    output = window_attention(query, key, value, slots, **options)
    assert output[0, 1, 40].isnan().all()
    output[0, 1, 40] = expected[0, 1, 40]
    assert (output.float() - expected.float()).abs().max() < (1e-5 if dtype == torch.float32 else 5e-2)
