"""The structure holds: each module imports only from rooms above it, and what is public is pinned."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

import rxagents
import rxagents.llm
import rxagents.operators
import rxagents.testing

PACKAGE = Path(rxagents.__file__).parent

ROOMS = """
errors nominal checks variants places increments hash_keys values message_kinds kept_deltas assembly
structured.plain_schemas structured.strict_schemas structured.json_texts structured.output_types
structured.type_fields structured.partial_shapes structured.partial_choices structured.partial_types
structured.json_reading structured.json_progress structured
engine.daemon_executors engine.late_locks engine.trampolines engine.loops engine.demands
engine.demanded_time engine.tasks engine.feeds engine.mailboxes engine.async_items
engine.schedulers engine.subscriptions engine.sinks engine.emitters engine.steps engine.inlets
engine.listenings engine.work engine.bridges engine.sync_items engine.limits engine.threads engine
recording.masks recording.redaction recording.journal_values recording.journals recording
cursors reader_demands attended bound_loops end_callbacks replays delta_forms streams state_updates blocks
ledgers transcripts witnesses message_callbacks followed_items conversations
saying.media_types saying.content_parts saying.inputs saying.speakers saying.thing_sources
saying.ordering saying.arrivals saying.flatten saying
asking.sharing asking.spending
walks mended_messages mended_blocks
asking.asked asking.own_turns asking.hearing asking
gates.windows gates.telling gates.checking gates.rules gates.pieces gates.keeping
coding.run_limits coding.strays coding.program_guards coding.guarded_processes coding.programs
coding.workspaces
llm.requests llm.around llm.listening llm.recorded llm.model_calls llm.call_pages llm.call_files
llm.logged_models llm.model_logs llm.wire llm.replies llm.scripts llm.scripted llm.sse llm.event_json
llm.chunk_forms llm.chat_stream llm.responses_items llm.responses_stream llm.still_sockets llm.ready_reads
llm.http_answers
llm.json_bodies llm.wire_apis llm.chat_completions llm.responses_input llm.responses_bodies
llm.certificates llm.repeated_requests llm.aiohttp_errors llm.aiohttp_pools llm.aiohttp_transport
llm.transports
llm.client_settings llm.clients
llm.failures llm.served_models llm.openai_chat llm.azure_chat llm.requesting
llm.compositions llm.attempts llm.fallbacks llm.hedges llm.retries llm.time_limits
llm.gated_models llm.budgets llm.rate_limits llm.caches llm.side_answers llm.choices llm
strategies.selections strategies.readings strategies.cuts strategies.summaries strategies.updates
strategies
tooling.contexts tooling.docstrings tooling.signatures tooling.tool_results tooling.streamed_results
tooling.call_limits tooling.attempts tooling.pending_calls tooling.tools
tooling.toolboxes tooling.registering tooling.deciders tooling.approvals tooling
waiting.paused_calls waiting.paused_turns waiting.paused_notes
handing.handoff_trails handing.agent_tools participants handing.handoffs handing.handing_over handing openings
calling.early_calls calling.gated_calls calling.calls calling rounds agents
coding.coding_agents coding
functions named_operators prompts users
consoles.interrupts consoles.lines consoles.printers consoles.users consoles
teams._compositions teams._members teams._resuming teams._turns teams._routing teams._team teams._loop
teams._sequence teams._links
teams._chain teams._plans teams._unfinished teams._planning teams._planned_runs teams._planned_team
teams._member_turns teams._concurrent_teams teams._parallel teams._switch teams._race teams
operators._marks operators._serialized operators._markers operators._live operators._coalesced
operators._messages
operators._shared operators._text operators._retaken operators._twins operators._gate operators._tokens
operators._error_messages operators._reading operators._transcript
operators._until operators._budgets operators._limit operators._checkpoint operators._partials conversing
operators._live_turn operators._live_turns operators._turns operators
gates.guarded_turns gates.guarded gates
histories.protocol histories.in_memory histories.item_data histories.in_order histories.markdown_pages
histories.markdown_parts histories.page_files histories.markdown histories.item_rows histories.stores
histories.writer_locks histories.item_writers histories.sqlite histories
keeping runs waiting.standstills recorders blocking seats sessions waiting.deciding waiting workflows
dialog_turns dialogs public_names demo
testing.clock.waiting_tasks testing.clock.socketless testing.clock.default_timers
testing.clock.virtual_loop testing.clock.loop_closing testing.clock.virtual_clock testing.clock
testing.lanes testing.lane_sheets
testing.language.marks testing.language.spellings testing.language.wordings testing.language.scanning
testing.language.subscriptions testing.language.diagrams testing.language.rows testing.language.comparing
testing.language.cells testing.language.marble_columns testing.language.stretched_columns
testing.language.rendering testing.language.pictures testing.language
testing.marbles.subscription_logs testing.marbles.calls testing.marbles.observing
testing.marbles.drawn_items testing.marbles.drawn_lanes testing.marbles.drawn_models
testing.marbles.drawn_tools testing.marbles.probes testing.marbles.palettes
testing.marbles.marble_failures testing.marbles.bound_lanes testing.marbles.expectations
testing.marbles.marker_expectations testing.marbles.subscription_expectations
testing.marbles.virtual_runs testing.marbles.left_overs testing.marbles.marble_runs testing.marbles.kit
testing.marbles
testing.recordings.exchanges testing.recordings.recorded_lines testing.recordings.recorded_files
testing.recordings.request_matching testing.recordings.played_answers testing.recordings.replaying
testing.recordings
testing.drawing.glyphs testing.drawing.scene_items testing.drawing.time_maps testing.drawing.time_axes
testing.drawing.scenes testing.drawing.pieces testing.drawing.slots testing.drawing.side_texts
testing.drawing.layouts testing.drawing.text_drawings testing.drawing.svg_styles
testing.drawing.svg_marks testing.drawing.svg_sheets testing.drawing.svg_drawings
testing.drawing.drawings testing.drawing.kept_pictures testing.drawing
testing.server.http_wire testing.server.stream_server testing.server.request_log testing.server.faults
testing.server.documents testing.server.served_apis testing.server.chat_format
testing.server.responses_requests testing.server.responses_objections testing.server.responses_output
testing.server.responses_format testing.server.model_service testing.server.delivery
testing.server.openai_server testing.server.scenarios testing.server.services testing.server
testing.guards
testing.laws.lane_texts testing.laws.worlds testing.laws.feeds testing.laws.watches testing.laws.plans
testing.laws.sameness testing.laws.talks testing.laws.cases testing.laws.casts testing.laws.replies
testing.laws.audiences testing.laws.drawing testing.laws.balances testing.laws.contracts
testing.laws.lineups testing.laws.forests testing.laws.readings testing.laws.subjects
testing.laws.checking testing.laws.folds testing.laws.tempos testing.laws.wraps testing.laws.statutes
testing.laws
testing
pytest_plugin __main__
""".split()


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    """The modules of the package that a module imports, anywhere in it."""
    here = list(path.relative_to(PACKAGE).parts[:-1])
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level + 1]
            full = ".".join([*base, *(node.module.split(".") if node.module else [])])
            submodules = {f"{full}.{alias.name}".lstrip(".") for alias in node.names}
            found |= (submodules & set(ROOMS)) or {full}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rxagents"):
            raise AssertionError(f"{path.name} imports {node.module} absolutely")
    return found


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def test_every_module_has_its_room() -> None:
    assert sorted(module_of(path) for path in FILES) == sorted(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_module_imports_only_from_rooms_above_it(path: Path) -> None:
    own = ROOMS.index(module_of(path))
    below = {name for name in imports_of(path) if ROOMS.index(name) >= own}
    assert not below


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_no_module_bears_the_name_of_a_public_function(path: Path) -> None:
    public = {*rxagents.__all__, *rxagents.operators.__all__}
    assert path.stem not in public


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_module_is_one_idea_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 250


PUBLIC = {
    "rxagents": """
        agent Agent AgentError AllMessagesStrategy AppendMessagesUpdateStrategy ApprovalError Approvals
        Approve as_agent Asked AssistantMessage AzureOpenAILLM Block BlockingCallError Chain ChatRequest
        Completion ConfigurationError console_user Context Conversation Delta dialog file_part
        FunctionResult GuardError guard_input guard_output Handoff History HistoryError image_part
        InMemoryHistory InputError LastNMessagesStrategy LateItemError LLM LLMConstraints LocalCodingAgent
        Loop Mark MarkdownHistory Marker MaxHandoffsError MaxRoundsError Message MessageStream
        ModelConnectionError ModelError ModelProtocolError ModelRequestBlockedError ModelStatusError
        ModelStreamError ModelTimeoutError NoopUpdateStrategy NoRealTimeError on_dropped OpenAILLM
        OutputError Parallel partial_model PendingCall PipelineConversationReadingStrategy PlannedTeam
        PlanningError Race RaceError Reading Reject ReplaceLastMessageUpdateStrategy RoutingError Run
        RunCancelledError RunResult RxAgentsError say ScriptedLLM ScriptError Sequence SQLiteHistory
        StateUpdate stream SummarizeMessagesStrategy Switch SystemMessage Team text_part
        TokenBudgetStrategy Tool ToolArgumentsError ToolError ToolFailedError ToolRetry ToolTimeoutError
        TopKLastNMessagesStrategy Transcript turns UnknownToolError unordered Usage User UserMessage
        Workflow WorkflowBusyError WorkflowError WorkflowInput
    """,
    "rxagents.operators": """
        answer checkpoint coalesced deltas errors_as_messages gate Gated last_n latest limit map_tokens
        Mark Marker markers messages partials reading responses sampled Shared shared summarize text
        token_budget top_k_last_n transcript transform turns until
    """,
    "rxagents.llm": """
        AzureOpenAILLM best_of cached Call ChatRequest fallback fan_out gated hedge LLM LLMConstraints
        logged log_models ModelCall OpenAILLM rate_limited record Reply retry Rule ScriptedLLM timeouts
    """,
    "rxagents.testing": """
        block_model_requests Called default_scenario demo_llm Diagram DiagramError draw Drawing Dropped
        echo_scenario Endless EndlessInstantError Event Exchange HTTPFault Lane Malformed MarbleError
        MarbleFailure MarbleLLM Marbles MarbleTool NothingToWaitForError OpenAIServer order_scenario parse
        Paused Probe Raw read_recording record RecordedError RecordedRequest Recording render replay
        Returned Stalled StubbornTaskError virtual VirtualClock VirtualLoop
    """,
}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_public_names_are_these(name: str) -> None:
    module = importlib.import_module(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name].split())


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    for public in module.__all__:
        thing = getattr(module, public)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert (thing.__doc__ or "").strip(), f"{name}.{public} has no docstring"


@pytest.mark.parametrize(
    "thing",
    [
        rxagents.Agent, rxagents.LocalCodingAgent, rxagents.User,
        rxagents.Team, rxagents.Sequence, rxagents.Chain, rxagents.Loop, rxagents.PlannedTeam,
        rxagents.Parallel, rxagents.Switch, rxagents.Race,
        rxagents.dialog, rxagents.Workflow, rxagents.Run, rxagents.MessageStream, rxagents.Asked,
        rxagents.say, rxagents.stream, rxagents.as_agent, rxagents.unordered,
        rxagents.guard_input, rxagents.guard_output,
        *(getattr(rxagents.operators, name) for name in rxagents.operators.__all__ if name.islower()),
    ],
    ids=lambda thing: thing.__name__,
)  # fmt: skip
def test_every_operator_and_team_has_a_marble_diagram(thing: object) -> None:
    doc = inspect.getdoc(thing) or ""
    assert doc.count("```") == 2, "one diagram, in a block of its own"
    diagram = doc.split("```")[1]
    assert "|" in diagram
    assert "-" in diagram


DEFAULTS: list[tuple[Callable[..., object], dict[str, object]]] = [
    (
        rxagents.Agent,
        {
            "description": "",
            "system_message": "",
            "tools": (),
            "reading_strategy": None,
            "others_as": None,
            "max_rounds": 20,
            "max_threads": 32,
            "max_concurrent_tools": None,
            "tool_timeout": None,
            "max_tool_result": None,
            "early_calls": False,
        },
    ),
    (
        rxagents.LocalCodingAgent,
        {
            "description": "",
            "venv": False,
            "packages": (),
            "may_install": False,
            "timeout": 30.0,
            "memory": 512 * 1024 * 1024,
            "output": 1024 * 1024,
            "processes": 32,
            "env": None,
        },
    ),
    (
        rxagents.Agent.register_tool,
        {
            "name": None,
            "description": None,
            "timeout": None,
            "max_concurrent": None,
            "retry": 0,
            "max_result": None,
            "early": True,
        },
    ),
    (
        rxagents.Team,
        {
            "description": "",
            "system_prompt": "",
            "stop_callback": None,
            "allowed_transitions": None,
            "include_tools_descriptions": False,
            "reading_strategy": None,
            "use_structured_output": True,
            "max_turns": 50,
        },
    ),
    (
        rxagents.Parallel,
        {"description": "", "order": "arrival", "max_concurrent": None, "on_error": "fail"},
    ),
    (rxagents.Switch, {"description": ""}),
    (rxagents.Race, {"winner": "first_token", "description": ""}),
    (rxagents.User, {"id": "user", "mode": "interactive", "interaction_function": None}),
    (rxagents.Workflow, {"conversation": None, "system_prompt": "", "history": None, "on_message": None}),
    (rxagents.Workflow.approve, {"arguments": None}),
    (rxagents.Workflow.reject, {"reason": ""}),
    (rxagents.Conversation, {"messages": (), "variables": None}),
    (rxagents.operators.partials, {"name": None, "aside": False}),
    (rxagents.operators.summarize, {"keep_last": 0}),
    (rxagents.operators.text, {"separator": "\n\n", "order": "message", "inputs": False, "aside": False}),
]


@pytest.mark.parametrize(("of", "defaults"), DEFAULTS, ids=[of.__name__ for of, _ in DEFAULTS])
def test_the_defaults_are_these(of: Callable[..., object], defaults: dict[str, object]) -> None:
    parameters = inspect.signature(of).parameters
    assert {name: parameters[name].default for name in defaults} == defaults
