"""What is said of the user's own faults: one sentence with file, got and wanted."""

from __future__ import annotations


class UserError(ValueError):
    """A fault in what the user gave, in one sentence with file, got and wanted. The command line exits with 2."""


def brief(error: Exception) -> str:
    """Another program's error in at most 200 characters of one line."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
