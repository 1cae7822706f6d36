"""Programs for those who work on Hearth; they run from a checkout and are in no wheel."""
