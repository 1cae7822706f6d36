"""Builds Hearth's container images: `python -m images` (docs/images.md). Standard library only."""
