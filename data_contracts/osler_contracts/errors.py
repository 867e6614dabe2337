"""The one error that users meet: a stable code, what happened and how to mend it."""

from __future__ import annotations

import errno

from osler_contracts.codes import Code


class OslerError(Exception):
    """An expected failure, told in the reader's words.

    Args:
        code: Stable code of the failure.
        message: What was given and what is allowed, as full sentences.
        mend: What to do about it.
    """

    def __init__(self, code: Code, message: str, mend: str) -> None:
        super().__init__(f"{message} {mend}".strip())
        self.code = code
        self.message = message
        self.mend = mend

    def __reduce__(self) -> tuple[type[OslerError], tuple[Code, str, str]]:
        """Let the error cross a process pool: the default would call the constructor with one argument."""
        return type(self), (self.code, self.message, self.mend)

    def to_dict(self) -> dict[str, str]:
        """Return the error as the JSON object that commands print."""
        return {"code": str(self.code), "message": self.message, "mend": self.mend}


def from_os_error(error: OSError) -> OslerError:
    """Turn an operating-system failure into an error with a mend."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OslerError(
            Code.DISK_FULL,
            "The disk that holds the workspace is full.",
            "Free some space and run the same command again: what was finished is kept.",
        )
    name = error.filename if isinstance(error.filename, str) else "a file"
    return OslerError(
        Code.UNREADABLE, f"{error.strerror or 'Input or output failed'}: {name}.", "Check the path and its permissions."
    )
