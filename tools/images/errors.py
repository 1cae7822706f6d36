"""What can go wrong in a way that the user can mend."""


class ImagesError(Exception):
    """A message for the user, with the remedy."""
