"""What a failure means to a person and to the scheduler."""

from __future__ import annotations

import pickle

import pytest

from mof_benchmark.errors import (
    CalculationError,
    CalculationFailedError,
    MofsimError,
    NotConvergedError,
    OutOfMemoryError,
)
from tasks.failures import DeviceError, HostLostError, error_document, named


@pytest.mark.parametrize(
    ("error", "code", "transient"),
    [
        (NotConvergedError("too few steps"), 50006, False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), 50001, True),
        (
            CalculationError("The model failed on 3 atoms: CUDA error: unspecified launch failure"),
            50001,
            True,
        ),
        (CalculationError("The model failed on 3 atoms: bad shape"), CalculationError.code, False),
        (ConnectionResetError("peer"), 50001, True),
        (MemoryError(), 50007, False),
        (HostLostError("gone"), 50009, True),
        (ZeroDivisionError("division by zero"), 50001, False),
    ],
)
def test_a_failure_has_a_code_and_says_whether_trying_again_may_help(
    error: Exception, code: int, transient: bool
) -> None:
    document = error_document(error, "optimize")
    assert (document["code"], document["transient"], document["stage"]) == (code, transient, "optimize")


def test_a_cuda_out_of_memory_error_is_known_by_its_name() -> None:
    of_torch = type("OutOfMemoryError", (RuntimeError,), {})
    assert isinstance(named(of_torch("CUDA out of memory")), OutOfMemoryError)


def test_the_detail_of_an_unknown_error_names_no_path_and_no_traceback() -> None:
    error = OSError("cannot open /home/somebody/.mofsim/storage/x.cif\nTraceback: secret")
    detail = error_document(error, None)["detail"]
    assert detail == "OSError: cannot open …"


@pytest.mark.parametrize("kind", [HostLostError, DeviceError, CalculationFailedError])
def test_our_errors_cross_process_borders_whole(kind: type[MofsimError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("what happened", field="model")))  # noqa: S301
    assert (type(copy), copy.detail, copy.field) == (kind, "what happened", "model")
