"""A plain RxPY pipeline: a sensor's readings beside what an agent says about them.

Whenever the temperature passes into another band, that is a new turn of one conversation, and cuts what
was being said about the one before. `combine_latest` puts the latest words beside each reading.

python examples/sensor_stream.py
"""

import threading

import reactivex as rx
from offline.sensor_script import advised
from reactivex import operators as ops

from rxagents import Agent, turns
from rxagents.operators import responses
from rxagents.testing import demo_llm

TEMPERATURES = (19.8, 20.4, 21.1, 24.7, 26.2, 27.9, 30.3, 31.0, 27.5, 22.4, 21.0, 20.6)


def band(temperature: float) -> str:
    return "fine" if temperature < 24 else "warm" if temperature < 29 else "hot"


watchman = Agent(
    "watchman",
    demo_llm(advised, delay=0.01),
    system_message="You watch over a machine. Say in one sentence what to do.",
)
readings = rx.interval(0.1).pipe(
    ops.take(len(TEMPERATURES)), ops.map(lambda at: TEMPERATURES[at]), ops.share()
)
advice = readings.pipe(
    ops.map(band),
    ops.distinct_until_changed(),
    ops.map(lambda now: f"The machine is {now}."),
    turns(watchman, "switch"),
    responses(),
    ops.filter(lambda message: message.finish_reason != "interrupted"),
    ops.map(str),
)
over = threading.Event()
rx.combine_latest(readings, advice).subscribe(
    lambda pair: print(f"{pair[0]:.1f} °C  {pair[1]}", flush=True), on_completed=over.set
)
over.wait(30)
