"""What a pod says of itself: parse its lines, add them up, show them as one Apache."""

from .board import VERSION, Board, Frame, PodLine, board
from .merge import Sum, merge
from .parse import Edge, Line, Malformed, Shown, parse
from .tally import Counters, Tally

__all__ = [
    "VERSION",
    "Board",
    "Counters",
    "Edge",
    "Frame",
    "Line",
    "Malformed",
    "PodLine",
    "Shown",
    "Sum",
    "Tally",
    "board",
    "merge",
    "parse",
]
