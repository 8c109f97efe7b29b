"""A plain RxPY pipeline: a sensor's readings beside what an agent says about them.

Whenever the temperature passes into another band, that is a new turn of one conversation, and cuts what
was being said about the one before. `combine_latest` puts the latest words beside each reading.

python examples/sensor_stream.py
"""

import threading

import reactivex as rx
from offline.sensor_script import advised
from reactivex import operators as ops

from rxagents import Agent, Message, turns
from rxagents.operators import responses
from rxagents.testing import demo_llm

TEMPERATURES = (19.8, 20.4, 21.1, 24.7, 26.2, 27.9, 30.3, 31.0, 27.5, 22.4, 21.0, 20.6)


def temperature(tick: int) -> float:
    return TEMPERATURES[tick]


def band(degrees: float) -> str:
    return "fine" if degrees < 24 else "warm" if degrees < 29 else "hot"


def report(degrees: float) -> str:
    return f"The machine is {band(degrees)}."


def is_whole(advice: Message) -> bool:
    return advice.finish_reason != "interrupted"


watchman = Agent(
    "watchman",
    demo_llm(advised, delay=0.01),
    system_message="You watch over a machine. Say in one sentence what to do.",
)
readings = rx.interval(0.1).pipe(ops.take(len(TEMPERATURES)), ops.map(temperature), ops.share())
advice = readings.pipe(
    ops.distinct_until_changed(band),
    ops.map(report),
    turns(watchman, "switch"),
    responses(),
    ops.filter(is_whole),
    ops.map(str),
)
over = threading.Event()
rx.combine_latest(readings, advice).subscribe(
    lambda pair: print(f"{pair[0]:.1f} °C  {pair[1]}", flush=True), on_completed=over.set
)
over.wait(30)
