"""What libjpeg says of damage: it decodes on, makes the rest up, and only prints a line.

A flipped bit or a cut in the entropy-coded data leaves most of the picture as it was. Decoders built on libjpeg then
agree, or differ in a few blocks; none of them fails. Pillow throws the line away; GDCM lets it through to the standard
error stream of the process, for all of JPEG: 8 and 12 bits, lossy and lossless.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# The warnings of libjpeg's jerror.h that tell of lost or surplus data; others are about how a program calls it.
_DAMAGE = (b"Corrupt JPEG data", b"Premature end of JPEG file", b"Inconsistent progression sequence")
_STDERR = 2


@contextmanager
def listening() -> Iterator[Callable[[], bool]]:
    """Catch what is printed to the standard error stream within the block, by any thread, and keep it from there.

    GDCM's other chatter may quote a header, so that nothing of it is passed on. The stream is the process's own: this
    is for worker processes, whose threads do not print.

    Yields:
        A function that tells whether libjpeg has complained of damage so far; always no where the system is not Linux.
    """
    if sys.platform != "linux":
        yield lambda: False
        return
    sys.stderr.flush()
    before, heard = os.dup(_STDERR), os.memfd_create("stderr")
    os.dup2(heard, _STDERR)
    try:
        yield lambda: _tells_of_damage(heard)
    finally:
        sys.stderr.flush()
        os.dup2(before, _STDERR)
        os.close(before)
        os.close(heard)


def _tells_of_damage(heard: int) -> bool:
    text = os.pread(heard, os.fstat(heard).st_size, 0)
    return any(words in text for words in _DAMAGE)
