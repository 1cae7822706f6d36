"""Build of Hearth's container images: `python -m tools.images` (docs/images.md). Standard library only."""
