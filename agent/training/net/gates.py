"""``gates.c`` as a library: compiled on first use, kept in the user's cache folder, loaded by ctypes. No torch here.

The file's name is a sum of the source, the flags and the kind of CPU; behind the library's own bytes stands their
SHA-256, so that a damaged file is never loaded: it is compiled again.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from agent.training.errors import TrainingError

SOURCE: Final = Path(__file__).with_name("gates.c")
COMPILERS: Final = ("cc", "gcc", "g++", "clang")
FLAGS: Final = ("-x", "c", "-O3", "-shared", "-fPIC", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512bf16")
NEEDED: Final = frozenset({"fma", "avx512f", "avx512bw", "avx512vl", "avx512_bf16"})
"""Of a CPU, as Linux names them."""
CPU_INFO: Final = Path("/proc/cpuinfo")
COMPILE_S: Final = 60.0
SUM_BYTES: Final = 32


class NoGates(TrainingError):
    """This machine cannot compile or run the gates: what it lacks."""


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """``gates_forward`` and ``gates_backward`` with their types. Raises ``NoGates``."""
    lacking = sorted(NEEDED - instructions())
    if lacking:
        raise NoGates(f"the CPU has no bf16 products ({', '.join(lacking)})")
    path = compiled(cache_folder())
    try:
        return _typed(ctypes.CDLL(str(path)))
    except OSError as refused:  # a cache that may hold no programs (noexec)
        raise NoGates(f"{path} cannot be loaded: {refused}") from None


def instructions() -> frozenset[str]:
    """Of this CPU; empty where the system does not tell."""
    try:
        lines = CPU_INFO.read_text("utf-8").splitlines()
    except OSError:
        return frozenset()
    flags = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    return frozenset(flags.split())


def cache_folder() -> Path:
    """Of this user (XDG base directories: a relative path there counts as none). Raises ``NoGates``."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (base if base.is_absolute() else Path.home() / ".cache") / "crosstalk"
    except RuntimeError:
        raise NoGates("no folder for what is compiled: set XDG_CACHE_HOME") from None


def compiled(folder: Path) -> Path:
    """The library's file in ``folder``, made where it is not there whole. Raises ``NoGates``."""
    source = SOURCE.read_bytes()
    key = sha256(b"\0".join((source, " ".join(FLAGS).encode(), platform.machine().encode()))).hexdigest()[:16]
    path = folder / f"gates-{key}.so"
    if not _is_whole(path):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as passing:
                made = Path(passing) / path.name
                _compile(made)
                with made.open("ab") as out:
                    out.write(sha256(made.read_bytes()).digest())
                made.replace(path)
        except OSError as refused:
            raise NoGates(f"{refused.filename or folder}: {refused.strerror}") from None
    return path


def _is_whole(path: Path) -> bool:
    try:
        held = path.read_bytes()
    except OSError:
        return False
    return sha256(held[:-SUM_BYTES]).digest() == held[-SUM_BYTES:]


def _compile(out: Path) -> None:
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise NoGates(f"no C compiler ({', '.join(COMPILERS)})")
    try:
        done = subprocess.run(
            [compiler, *FLAGS, str(SOURCE), "-o", str(out)], capture_output=True, text=True, timeout=COMPILE_S
        )
    except subprocess.TimeoutExpired:
        raise NoGates(f"{compiler} took more than {COMPILE_S:.0f} s") from None
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[:200])
        raise NoGates(f"{compiler} ended with {done.returncode}: {said}")


def _typed(found: ctypes.CDLL) -> ctypes.CDLL:
    sizes = [ctypes.c_int64] * 2
    for name, pointers in (("gates_forward", 9), ("gates_backward", 11)):
        function = getattr(found, name)
        function.argtypes, function.restype = [ctypes.c_void_p] * pointers + sizes, None
    return found
