"""Pack what people say to a service: ``python -m agent.training.words_talk agent/model/parts/data/talk.txt.xz``.

The training part of our free sentences alone: what judges a recogniser (held-out sentences) is not in it. Same input,
same bytes.
"""

from __future__ import annotations

import lzma
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.training.fold import Fold
from agent.training.text.corpus import SHORTEST, sentences


def main(argv: Sequence[str]) -> int:
    if len(argv) != 1:
        sys.stderr.write("wanted: words_talk OUT.txt.xz\n")
        return 2
    said = sorted({line for line in sentences(Fold.TRAIN) if len(line.split()) >= SHORTEST})
    Path(argv[0]).write_bytes(lzma.compress("\n".join(said).encode("ascii"), preset=9 | lzma.PRESET_EXTREME))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
