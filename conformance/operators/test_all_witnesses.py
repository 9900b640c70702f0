"""Every named witness, in every type."""

import pytest

from frcnn.conformance.operators import marks_by_type
from frcnn.conformance.rewritten import ways
from frcnn.conformance.subject import as_tuple
from frcnn.conformance.witnesses import witnesses
from frcnn.conformance.witnesses.calls import call_witnesses, refusals


def each_witness():
    """Parametrisation over (witness, profile, dtype_name), marked with the witness's clauses or with the type's."""
    return pytest.mark.parametrize(
        ("witness", "profile", "dtype_name"),
        [
            pytest.param(witness, profile, dtype_name, id=f"{witness.id}-{profile}-{dtype_name}", marks=mark)
            for witness in witnesses()
            for profile in witness.profiles
            for dtype_name, mark in marks_by_type(*witness.clauses)
            # A witness of float64 RoIs would not hold those that lack them to anything else.
            if dtype_name == "float64" or "roi-pool.dtype-float64" not in witness.clauses
        ],
    )


@each_witness()
def test_the_answer_is_the_one_worked_out_by_hand(subject, witness, profile, dtype_name):
    """And the same one where the call is written in other ways."""
    check(subject, witness, dtype_name, profile)


@pytest.mark.parametrize(
    "witness", [pytest.param(w, id=w.id, marks=pytest.mark.clause(*w.clauses)) for w in call_witnesses()]
)
def test_an_operator_gives_the_answer_worked_out_by_hand(subject, witness):
    """And the same one where the call is written in other ways."""
    arguments, options = witness.arguments, witness.options
    subject.check(witness.operator, *arguments, expected=witness.expected, bound=witness.bound, **options)
    for *others, values in ways((*arguments, tuple(options.values()))):
        again = dict(zip(options, values, strict=True))
        subject.check(witness.operator, *others, expected=witness.expected, bound=witness.bound, **again)


@pytest.mark.parametrize(
    "refusal", [pytest.param(r, id=r.id, marks=pytest.mark.clause(*r.clauses)) for r in refusals()]
)
def test_what_is_no_argument_is_refused_by_its_name(subject, refusal):
    arguments, options = refusal.arguments, refusal.options
    subject.check_refused(lambda: subject.call(refusal.operator, *arguments, **options), *refusal.names)


@pytest.mark.clause("roi-pool.repeatable")
@pytest.mark.parametrize("witness", [w for w in witnesses() if "roi-pool.repeatable" in w.clauses], ids=lambda w: w.id)
def test_a_call_made_again_gives_the_same_bits(subject, profile, witness):
    case = witness.call("float32", profile)
    make = subject.unpool if witness.backward else subject.pool
    for name, once, again in zip(("first", "second"), as_tuple(make(case)), as_tuple(make(case)), strict=False):
        if once is not None:  # an argmax that the backend does not have
            subject.require_same(f"{name} result", once, again, case)


def check(subject, witness, dtype_name, profile):
    __tracebackhide__ = True
    written = witness.call(dtype_name, profile)
    others = ways(tuple(vars(written).values()))
    for case in (written, *(type(written)(*values) for values in others)):
        if witness.backward:
            subject.check_backward(case, *witness.expected(dtype_name))
        else:
            subject.check_forward(case, witness.expected(dtype_name))
