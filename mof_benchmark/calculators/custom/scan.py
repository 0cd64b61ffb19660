"""Look at a model file without reading it: is it PyTorch's archive, and what would its pickle ask for?

Nothing in a file is run or built here. Whatever is not on a list is refused: kinds of archive
records, the pickle's instructions, and the names it imports. Free of torch, for the gateway.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mof_benchmark.errors import InvalidFileError, UnsafeModelFileError, UnsupportedFormatError

CustomFramework = Literal["mace", "orb", "sevennet", "pytorch"]

SUFFIXES: dict[CustomFramework, tuple[str, ...]] = {
    "mace": (".model",),
    "orb": (".pt", ".pth", ".ckpt"),
    "sevennet": (".pt", ".pth"),
    "pytorch": (".pt", ".pth"),
}
"""How the files of a framework may be named."""

MAX_RECORDS = 20_000
MAX_PICKLE_BYTES = 64 * 1024**2
MAX_INSTRUCTIONS = 5_000_000

INERT_PACKAGES = ("mace.", "e3nn.", "torch.nn.", "torch.fx.")
"""Packages whose classes a MACE file names; reading it, each becomes an object that does nothing."""

_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
_WEIGHTS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch Size",
        "torch device",
        "_codecs encode",
        "numpy dtype",
        "numpy ndarray",
        *(
            f"numpy.{core}.multiarray {name}"
            for core in ("core", "_core")
            for name in ("_reconstruct", "scalar")
        ),
        *(f"torch {kind}Storage" for kind in _STORAGES),
        *(f"torch {kind}" for kind in _DTYPES),
    }
)
_PLAIN = frozenset({"__builtin__ set", "builtins set", "__builtin__ slice", "builtins slice"})
_INSTRUCTIONS = frozenset(
    [
        "PROTO",
        "STOP",
        "MARK",
        "POP",
        "POP_MARK",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "INT",
        "LONG",
        "LONG1",
        "BININT",
        "BININT1",
        "BININT2",
        "BINFLOAT",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINSTRING",
        "SHORT_BINSTRING",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "EMPTY_LIST",
        "LIST",
        "APPEND",
        "APPENDS",
        "EMPTY_DICT",
        "DICT",
        "SETITEM",
        "SETITEMS",
        "EMPTY_SET",
        "BINPUT",
        "LONG_BINPUT",
        "BINGET",
        "LONG_BINGET",
        "GLOBAL",
        "NEWOBJ",
        "REDUCE",
        "BUILD",
        "BINPERSID",
    ]
)
"""What the pickler that PyTorch uses (protocol 2) writes. STACK_GLOBAL, which takes the name it
imports from the stack, is not among them."""

_ROOT_RECORDS = re.compile(r"data\.pkl|version|byteorder|\.format_version|\.storage_alignment")
_DATA_RECORDS = re.compile(r"\.data/serialization_id|data/\d+")
_TORCHSCRIPT = re.compile(r"constants\.pkl|code/.*|constants/.*|extra/.*")

_SOURCE_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+import|import\s+([\w.]+))", re.MULTILINE)
_SOURCE_MODULES = frozenset({"torch", "math", "numpy", "typing", "e3nn", "opt_einsum_fx"})
_SOURCE_COMMAND = re.compile(r"\b(?:__import__|eval|exec|compile|open|getattr|globals)\s*\(|__\w+__\s*[\[(.]")

_OTHER_FORMATS = (
    (b"\x1f\x8b", "a gzip file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x7fELF", "a program"),
    (b"#!", "a script"),
    (b"%PDF", "a PDF"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"\x80", "a bare pickle"),
)


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """What a file turned out to hold."""

    records: int
    instructions: int
    names: tuple[str, ...]
    """What its pickle asks for, as `module.name`, in alphabetical order."""


def require_suffix(file_name: str, framework: CustomFramework) -> str:
    """The suffix of a file's name.

    Raises
    ------
    UnsupportedFormatError
        When files of this framework are not named so.
    """
    suffix = Path(file_name.lower()).suffix
    if suffix not in SUFFIXES[framework]:
        allowed = ", ".join(SUFFIXES[framework])
        raise UnsupportedFormatError(f"A {framework} model is a file named {allowed}", field="file")
    return suffix


def scan(path: Path, framework: CustomFramework) -> Scanned:
    """Look at a model file of any origin.

    Parameters
    ----------
    path
        The file; its name does not matter.
    framework
        Decides what its pickle may ask for.

    Raises
    ------
    InvalidFileError
        When it is truncated, damaged or another format.
    UnsafeModelFileError
        When it asks for more than weights and, for MACE, modules.
    """
    _require_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            root = _check_records(archive, path.stat().st_size)
            damaged = archive.testzip()
            if damaged is not None:
                raise InvalidFileError(f"The record {_shown(damaged)} is damaged", field="file")
            pickled = archive.read(f"{root}/data.pkl")
            records = len(archive.infolist())
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, ValueError) as error:
        raise InvalidFileError(f"The file is truncated or damaged: {error}", field="file") from None
    names, instructions = _check_pickle(pickled, framework)
    return Scanned(
        records=records,
        instructions=instructions,
        names=tuple(sorted(name.replace(" ", ".") for name in names)),
    )


def _require_archive(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"PK\x03\x04"):
        return
    what = next((name for magic, name in _OTHER_FORMATS if start.startswith(magic)), None)
    if what is None and start[257:262] == b"ustar":
        what = "a tar archive"
    said = f"This is {what}" if what else "This is not a PyTorch archive"
    raise InvalidFileError(f"{said}; save the model with `torch.save` of PyTorch 1.6 or newer", field="file")


def _check_records(archive: zipfile.ZipFile, file_bytes: int) -> str:
    """Refuse all but the records that `torch.save` writes; answers the archive's folder."""
    infos = archive.infolist()
    if not infos or len(infos) > MAX_RECORDS:
        raise UnsafeModelFileError(f"The archive has {len(infos)} records", field="file")
    root = infos[0].filename.partition("/")[0]
    seen: set[str] = set()
    for info in infos:
        # orig_filename: a name cut at a NUL byte would look harmless.
        folder, _, name = info.orig_filename.partition("/")
        if _TORCHSCRIPT.fullmatch(name):
            raise UnsafeModelFileError(
                "This is compiled TorchScript, which is code, not weights", field="file"
            )
        known = _ROOT_RECORDS.fullmatch(name) or _DATA_RECORDS.fullmatch(name)
        if (
            folder != root
            or folder in ("", ".", "..")
            or not re.fullmatch(r"[\w.+=-]{1,255}", folder)
            or not known
        ):
            raise UnsafeModelFileError(
                f"The archive holds {_shown(info.orig_filename)}, which PyTorch does not write", field="file"
            )
        if info.orig_filename in seen:
            raise UnsafeModelFileError(f"The archive holds {_shown(name)} twice", field="file")
        seen.add(info.orig_filename)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise UnsafeModelFileError(
                f"The record {_shown(name)} is compressed ({info.compress_size} to {info.file_size} bytes); "
                "PyTorch stores records as they are",
                field="file",
            )
        if info.flag_bits & 1 or (info.external_attr >> 16) & 0o170000 == 0o120000:
            raise UnsafeModelFileError(f"The record {_shown(name)} is encrypted or a link", field="file")
    if f"{root}/data.pkl" not in seen:
        raise InvalidFileError("The archive holds no data.pkl, so it is not a PyTorch file", field="file")
    if sum(info.file_size for info in infos) > file_bytes:
        raise UnsafeModelFileError("The archive's records overlap", field="file")
    if archive.getinfo(f"{root}/data.pkl").file_size > MAX_PICKLE_BYTES:
        raise UnsafeModelFileError("The archive's data.pkl is larger than any model's", field="file")
    return root


def _check_pickle(pickled: bytes, framework: CustomFramework) -> tuple[set[str], int]:
    names: set[str] = set()
    texts: list[str] = []
    count, end = 0, -1
    for name, argument, position in _instructions(pickled):
        count += 1
        if count > MAX_INSTRUCTIONS:
            raise UnsafeModelFileError("The file's pickle is longer than any model's", field="file")
        if name not in _INSTRUCTIONS:
            raise UnsafeModelFileError(
                f"The file's pickle uses {name}, which PyTorch does not write", field="file"
            )
        if name == "GLOBAL":
            _check_name(str(argument), framework)
            names.add(str(argument))
        elif isinstance(argument, str) and "import" in argument:
            texts.append(argument)
        end = position
    if end != len(pickled) - 1:
        raise UnsafeModelFileError("Something follows the end of the file's pickle", field="file")
    for text in texts:
        _check_source(text)
    return names, count


def _instructions(pickled: bytes) -> Iterator[tuple[str, object, int]]:
    try:
        for instruction, argument, position in pickletools.genops(pickled):
            yield instruction.name, argument, position or 0
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidFileError(f"The file's pickle is broken: {error}", field="file") from None


def _check_name(asked: str, framework: CustomFramework) -> None:
    module, _, name = asked.partition(" ")
    if asked in _WEIGHTS:
        return
    if framework == "mace" and (
        asked in _PLAIN or (module.startswith(INERT_PACKAGES) and name.isidentifier())
    ):
        return
    raise UnsafeModelFileError(
        f"The file asks for {_shown(f'{module}.{name}')}, which a {framework} model has no use for",
        field="file",
    )


def _check_source(text: str) -> None:
    """Source code of a graph module; it is never run, but code of this kind says what the file is."""
    imported = [one or two for one, two in _SOURCE_IMPORT.findall(text)]
    wrong = [module for module in imported if module.partition(".")[0] not in _SOURCE_MODULES]
    if wrong:
        raise UnsafeModelFileError(
            f"Source code in the file imports {_shown(wrong[0])}, which no model needs", field="file"
        )
    command = _SOURCE_COMMAND.search(text)
    if imported and command is not None:
        raise UnsafeModelFileError(
            f"Source code in the file calls {_shown(command[0])}, which no model needs", field="file"
        )


def _shown(text: str) -> str:
    return repr(text[:80])
