"""The marble language: from text to lanes, back, and compared. Its grammar is a page in `diagrams`.

```
diagram ─▶ marks · spellings · scanning ─▶ diagrams.parse ─▶ Lane ─▶ comparing.difference ─▶ pictures.picture
                                                              │
                                                              └─▶ rendering.render ─▶ diagram
```
"""

from .comparing import Difference, difference, same
from .diagrams import DiagramError, MarbleError, Subscription, parse, parse_subscription
from .pictures import picture
from .rendering import Diagram, render

__all__ = [
    "Diagram",
    "DiagramError",
    "Difference",
    "MarbleError",
    "Subscription",
    "difference",
    "parse",
    "parse_subscription",
    "picture",
    "render",
    "same",
]
