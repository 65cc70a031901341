"""Prior reports of a department: an index over them and a folder to keep them in."""

from radllama.library.library import Library, Neighbour

__all__ = ["Library", "Neighbour"]
