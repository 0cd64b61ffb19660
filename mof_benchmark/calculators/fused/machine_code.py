"""LLVM assembly to callable functions, once per process."""

from __future__ import annotations

import ctypes
import hashlib
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm

_KINDS: dict[str, Any] = {"i64": ctypes.c_int64, "double": ctypes.c_double, "ptr": ctypes.c_void_p}
# LLVM's code generation through one engine is not safe from several threads.
_compiling = threading.Lock()


@cache
def _machine() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True
    )


@cache
def vector_bytes() -> int:
    """Size of this machine's vector registers."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx2") else 16


@cache
def _engine() -> Any:
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())


@cache
def compiled(text: str, name: str, kinds: tuple[str, ...]) -> Callable[..., None]:
    """Compile function `name` of an LLVM module; equal text is compiled once.

    The result is a C function that takes integers, numbers and addresses (`kinds`: `i64`,
    `double`, `ptr`) and runs without Python's global lock.
    """
    unique = f"{name}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    with _compiling:
        module = llvm.parse_assembly(text.replace(f"@{name}(", f"@{unique}("))
        module.verify()
        builder = llvm.create_pass_builder(_machine(), llvm.create_pipeline_tuning_options(speed_level=2))
        builder.getModulePassManager().run(module, builder)
        engine = _engine()
        engine.add_module(module)
        engine.finalize_object()
        address = engine.get_function_address(unique)
    return ctypes.CFUNCTYPE(None, *(_KINDS[kind] for kind in kinds))(address)
