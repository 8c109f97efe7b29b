"""Marbles: a test as a picture, in virtual time.

```python
def test_stop_button(marbles):
    llm  = marbles.llm("--Well-let-me-see|")
    stop = marbles.hot("----------s")
    bot  = Agent(id="bot", llm=llm)
    marbles.expect(say("hi").pipe(bot, text(), ops.take_until(stop))).to_be(
                       "--Well-let|")
    marbles.expect_subscriptions(llm.calls[0]).to_be(
                       "^---------!")
```

What is drawn and expected is written down first; the clock runs once, at the end of the test or at
`flush()`. Within a frame hot lanes come first, then expectations in the order in which they were
written, each timer until nothing is ready. `rxagents.testing.language.diagrams` has the language.

One rule says how a lane is read. **Who speaks, speaks in words**: lanes of models, tools and messages,
and all that is expected. Only `hot` and `cold` read single characters, as in RxJS, and so does what is
expected in a test that draws nothing else, as long as nothing else comes.

At the end of a test nothing may be left over. What is, fails the test, unless `allow` permits it:

```
unread   an expectation without a picture        write `.to_be(…)`, or allow("unread")
unused   a script or hot lane nobody asked for   allow("unused")
errors   an error that nobody handled            look at `marbles.errors` after flush(), and allow("errors")
open     a subscription or task left open        allow("open")
```
"""

from .calls import CallList, CallRef
from .drawn_lanes import ColdLane, HotLane
from .drawn_models import MarbleLLM
from .drawn_tools import MarbleTool
from .kit import Marbles
from .marble_failures import MarbleFailure, Problem
from .observing import Observation
from .probes import Probe

__all__ = [
    "CallList",
    "CallRef",
    "ColdLane",
    "HotLane",
    "MarbleFailure",
    "MarbleLLM",
    "MarbleTool",
    "Marbles",
    "Observation",
    "Probe",
    "Problem",
]
