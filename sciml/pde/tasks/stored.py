"""What the file of a task holds; every task has a property ``variables`` that says so."""

from sciml.data.stored import StoredVariable, channel_names

__all__ = ["StoredVariable", "channel_names"]
