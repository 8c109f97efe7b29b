"""The turns of a dialog: the user, then the assistant, whose reply the user hears and may cut."""

from __future__ import annotations

from reactivex import Observable, abc
from reactivex import operators as ops

from .engine.bridges import forward, from_async
from .engine.emitters import Emitter
from .engine.inlets import listen
from .engine.sinks import Sink
from .operators import until as cut_at
from .participants import Emit, Participant
from .teams import Loop
from .teams._turns import Condition, answer_of, result, take_turn
from .transcripts import Item, Transcript
from .users import User
from .values import Message

__all__ = ["Turns"]


class Turns(Loop):
    """The user, then the assistant, again and again. Who has been left without an answer gets it first.

    A reply that has failed is not tried again by itself: the next run asks the user.

    Args:
        id: Its name in the conversation.
        user: Who begins.
        assistant: Who answers.
        until: As a Loop has it.
        max_turns: As a Loop has it.
    """

    def __init__(
        self,
        id: str,
        user: Participant,
        assistant: Participant,
        until: Condition | None = None,
        max_turns: int | None = None,
    ) -> None:
        self._user = user
        self._reply = _Reply(user, assistant)
        super().__init__(id, [user, self._reply], until=until, max_turns=max_turns)

    def turn(self, transcript: Transcript) -> Observable[Item]:
        if not self._is_unanswered(transcript):
            return super().turn(transcript)
        return from_async(lambda emit: self._answer_first(transcript, emit))

    async def _answer_first(self, transcript: Transcript, emit: Emit) -> None:
        stop, transcript = await take_turn(self._reply, transcript, emit)
        if stop is not None:
            emit(result("agent-stop", ("info", "loop/stop", self.id)))
            return
        if self.until is not None and await answer_of(self.until, transcript, "until"):
            emit(result("done"))
            return
        await forward(super().turn(transcript), emit)

    def _is_unanswered(self, transcript: Transcript) -> bool:
        last = transcript[-1] if len(transcript) else None
        if last is None or last is self._reply.answered:
            return False
        return last.role == "user" or last.name == self._user.id


class _Reply(Participant):
    """The assistant, whose words the user hears as they come, and may cut.

    Attributes:
        answered: The message that it began to answer last, be it in vain.
    """

    def __init__(self, user: Participant, assistant: Participant) -> None:
        super().__init__(assistant.id, assistant.description)
        self.members = {assistant.id: assistant}
        self.answered: Message | None = None
        self._user = user
        self._assistant = assistant

    def __call__(self, source: Observable[Item]) -> Observable[Item]:
        user = self._user
        said = self._assistant(source.pipe(ops.do_action(self._note)))
        if not isinstance(user, User):
            return said
        if user.interrupts is not None:
            said = said.pipe(cut_at(user.interrupts))

        def start(sink: Sink[Item]) -> abc.DisposableBase:
            def pass_on(item: Item) -> None:
                sink.on_next(item)
                user.hears(item)

            return listen(said, sink.loop, pass_on, sink.on_error, sink.on_completed)

        return Emitter(start)

    def _note(self, item: Item) -> None:
        if isinstance(item, Transcript) and len(item):
            self.answered = item[-1]

    def turn(self, transcript: Transcript) -> Observable[Item]:
        return self._assistant.turn(transcript)
