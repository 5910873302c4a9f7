"""Files that are whole or not there, and arrays in them: NumPy's ``.npz`` or ``.safetensors``. Nothing read is executed."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import secrets
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_bp.errors import FileFormatError

Arrays = Mapping[str, np.ndarray[Any, Any]]
PathLike = str | os.PathLike[str]


def write(path: PathLike, arrays: Arrays) -> None:
    """Write name -> array, in the format that the suffix names; whole or not at all."""
    encode, _ = _format(path)
    write_whole(path, encode(arrays))


def write_whole(path: PathLike, data: bytes) -> None:
    """Write a file whole or not at all: a new one beside it takes its place when it is finished."""
    path = Path(os.path.realpath(path))  # through a link, so that the link stays one
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to save {path.name} in")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file")
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # the same folder: replacing cannot cross disks
    try:
        with unfinished.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave the new name with the old disk's nothing
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def read(path: PathLike) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a file. Raises ``FileFormatError`` where it is damaged or of another kind."""
    _, decode = _format(path)
    data = Path(path).read_bytes()
    try:
        return decode(data)
    except DAMAGE as error:
        kind = Path(path).suffix
        raise FileFormatError(f"{os.fspath(path)} cannot be read as a {kind} file: it is damaged or of another kind ({error})") from error


# what zipfile, zlib and NumPy raise on bytes that are not what they should be
DAMAGE = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError, TypeError, ValueError,
    struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def _format(path: PathLike) -> tuple[Callable[[Arrays], bytes], Callable[[bytes], dict[str, np.ndarray[Any, Any]]]]:
    """How a suffix is written and read."""
    suffix = Path(path).suffix
    if suffix == ".npz":
        return to_npz, from_npz
    if suffix == ".safetensors":
        return _to_safetensors, _from_safetensors
    raise ValueError(f"a model is saved as .npz or .safetensors; got {os.fspath(path)!r}")


def to_npz(arrays: Arrays) -> bytes:
    """What ``np.savez`` writes, without its reserved names, and with the same bytes for the same arrays."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return file.getvalue()


def from_npz(data: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """What ``np.load(..., allow_pickle=False)`` reads; each array is read to its end, so that its checksum is compared."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name.removesuffix(".npy"): _from_npy(archive.read(name)) for name in archive.namelist()}


def _from_npy(data: bytes) -> np.ndarray[Any, Any]:
    file = io.BytesIO(data)
    array: np.ndarray[Any, Any] = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):
        raise ValueError("there are more bytes than the array has")
    return array


def _to_safetensors(arrays: Arrays) -> bytes:
    safetensors, failure = _safetensors()
    try:  # it copies memory as it lies, so rows must lie one after the other
        data: bytes = safetensors.save({name: np.array(array, order="C") for name, array in arrays.items()})
    except failure as error:
        raise ValueError(f"safetensors cannot hold these arrays ({error}). Save as .npz") from error
    return data


def _from_safetensors(data: bytes) -> dict[str, np.ndarray[Any, Any]]:
    safetensors, failure = _safetensors()
    try:
        arrays: dict[str, np.ndarray[Any, Any]] = safetensors.load(data)
    except failure as error:
        raise ValueError(error) from error
    return arrays


def _safetensors() -> tuple[Any, type[Exception]]:
    """The package, and the one error that it raises."""
    try:
        return importlib.import_module("safetensors.numpy"), importlib.import_module("safetensors").SafetensorError
    except ImportError as error:
        raise ModuleNotFoundError("a .safetensors file needs the package: pip install tinygrad_bp[safetensors]. Or save as .npz") from error
