"""What a pod says of itself: parse its lines, add them up."""

from .merge import Sum, merge
from .parse import Edge, Line, Malformed, parse

__all__ = ["Edge", "Line", "Malformed", "Sum", "merge", "parse"]
