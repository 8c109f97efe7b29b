"""The laws that every agent, team and operator obeys, as checks to run on your own.

```
1  contract   on_next* (on_error | on_completed)?, never two at a time, nothing after dispose
2  release    building subscribes to nothing, subscribing to each source at most once; after the end or
              dispose every source has been released, exactly once
3  replay     the tokens of a message concatenate to its content; every reader sees the same
4  balance    markers balance, whatever happens; every message ends in exactly one of response, error,
              interruption
5  folding    folding a run's items gives its conversation; one restored from JSON goes on as it would have
6  wrapping   further teams around it change paths and block marks, nothing else
7  timing     the same order whatever the timing, and nothing is lost
   loss       nothing is lost; for what gives no order, in place of `timing`
```

Each law is a function of an operator, and `check_laws` calls all that apply: to what gives no conversation,
such as `text()`, that is 1, 2 and 7; to what gives markers, 4 as well. An example is a random conversation
that is played in virtual time: messages and blocks that come at any time, fail or never end, and readers
who come late and leave early. The error shows the simplest one in which the law does not hold.

It needs hypothesis, which is in the extra `test`.
"""

from ...errors import ConfigurationError

try:
    import hypothesis as _hypothesis  # noqa: F401
except ImportError as _error:
    raise ConfigurationError(
        "rxagents.testing.laws draws its examples with hypothesis, which is not installed: "
        "pip install 'rxagents[test]'"
    ) from _error

from .checking import Law, LawError
from .statutes import (
    ALL,
    balance,
    check_laws,
    contract,
    folding,
    loss,
    release,
    replay,
    timing,
    wrapping,
)

__all__ = [
    "ALL",
    "Law",
    "LawError",
    "balance",
    "check_laws",
    "contract",
    "folding",
    "loss",
    "release",
    "replay",
    "timing",
    "wrapping",
]
