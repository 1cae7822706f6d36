"""Errors that the user can fix."""

from __future__ import annotations


class ImagesError(Exception):
    """A message for the user, with the remedy."""
