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
`flush()`. What comes is kept by reference. `rxagents.testing.language.diagrams` has the language.

One rule says how a lane is read. **Who speaks, speaks in words**: lanes of models, tools and messages, and
all that is expected. Only `hot` and `cold` read single characters, as in RxJS, and so does what is
expected in a test that draws these and nothing else (`expect(…, words=True)` reads words there too).

Within a frame, what is drawn comes first: subscriptions and unsubscriptions, then hot lanes in the order
in which they were drawn, then `marbles.at`, then all that follows; each timer runs until nothing is ready.
So a stop and a token in one column means that the token is not seen.

One clock serves Rx and asyncio: stock operators with and without a scheduler, `asyncio.sleep`, timeouts.
Threads of tools, `asyncio.to_thread` and `run_in_executor` are waited for, while time stands still. Of
threads that come by another way (`NewThreadScheduler`, `threading.Thread`) the clock knows nothing; and
a tool in a thread that in turn waits for the clock to go on waits for ever.

An agent takes its turn when its source has completed, so its outer line is mostly `---(bot|)`: the block
begins, nothing else will; `until` keeps the outer line open as long as it can cut something. The times of
a subscription are at hand too: `llm.calls[0].subscriptions`, `probe.subscriptions`, in seconds.

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
