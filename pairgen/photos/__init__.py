"""Photos on disk: found, checked, described, turned upright, and as small pictures."""

from hashpipe.pairgen.photos.find import find_photos

__all__ = ["find_photos"]
