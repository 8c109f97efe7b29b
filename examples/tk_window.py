"""A window whose text field drives an agent: it answers as you type, and typing on cuts the answer.

The keystrokes are debounced on Tk's own scheduler. The turns run on the event loop in the background; what
they say comes back through a queue that Tk's scheduler empties, since only its own thread may touch Tk.

python examples/tk_window.py
"""

import tkinter as tk
from queue import SimpleQueue
from typing import Any

from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import CompositeDisposable
from reactivex.scheduler.mainloop import TkinterScheduler
from reactivex.subject import Subject

from rxagents import Agent, Marker, turns
from rxagents.operators import markers
from rxagents.testing import demo_llm

QUIET = 0.4  # seconds without a keystroke, until what stands there is a question
FRAME = 0.02  # seconds between two looks at what was said


def is_a_question(text: str) -> bool:
    return bool(text)


class Window(tk.Frame):
    """A text field, and under it what the agent says to it."""

    def __init__(self, root: tk.Tk, bot: Agent) -> None:
        super().__init__(root, padx=16, pady=16)
        self.question = tk.StringVar()
        self.entry = tk.Entry(self, textvariable=self.question, width=48, font=("Helvetica", 14))
        self.answer = tk.Message(self, width=520, anchor="nw", font=("Helvetica", 14))
        self.entry.pack(fill="x")
        self.answer.pack(fill="both", expand=True, pady=(12, 0))
        self.pack(fill="both", expand=True)
        self.entry.focus_set()

        scheduler = TkinterScheduler(root)
        keystrokes, questions = Subject[str](), Subject[str]()
        said: SimpleQueue[Marker] = SimpleQueue()
        self.question.trace_add("write", lambda *_: keystrokes.on_next(self.question.get().strip()))
        conversation: Observable[Marker] = questions.pipe(turns(bot, "switch"), markers())
        self.subscription = CompositeDisposable(
            conversation.subscribe(said.put),
            # subscribed to by itself, so that Tk's timers are set and cancelled by Tk's thread
            keystrokes.pipe(ops.debounce(QUIET, scheduler), ops.filter(is_a_question)).subscribe(questions),
            scheduler.schedule_periodic(FRAME, lambda _: self.show_all(said)),
        )
        self.bind("<Destroy>", lambda _: self.subscription.dispose())

    def show_all(self, said: "SimpleQueue[Marker]") -> None:
        while not said.empty():
            self.show(*said.get())

    def show(self, mark: str, content: Any) -> None:
        if mark == "start":
            self.answer["text"] = ""
        elif mark == "delta":
            self.answer["text"] += content["content"] or ""
        elif mark == "interrupted":
            self.answer["text"] += " …"
        elif mark == "error":
            self.answer["text"] = content["message"]


def main() -> None:
    root = tk.Tk()
    root.title("rxagents")
    Window(root, Agent("bot", demo_llm(delay=0.08), system_message="Answer in one sentence."))
    root.mainloop()


if __name__ == "__main__":
    main()
