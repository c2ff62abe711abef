"""Which voices a model's folder has. Reads names alone, and no torch."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import Final

FOLDER: Final = "voices"
ARCHIVE: Final = "voices.tgz"
ENDINGS: Final = (".safetensors", ".pt")


def voices_in(folder: Path) -> list[str]:
    """Names in order; none where there are none, or where the archive cannot be read (who loads it says why)."""
    names = {path.stem for path in (folder / FOLDER).glob("*") if path.suffix in ENDINGS}
    try:
        with tarfile.open(folder / ARCHIVE) as archive:
            names |= {PurePosixPath(name).stem for name in archive.getnames() if name.endswith(ENDINGS)}
    except (OSError, tarfile.TarError):
        pass
    return sorted(names)
