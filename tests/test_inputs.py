"""WorkflowInput and content parts: images and files, from the bytes to the body that a server gets."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import operators as ops

from rxagents import (
    Agent,
    AssistantMessage,
    Conversation,
    InputError,
    Message,
    OpenAILLM,
    ScriptedLLM,
    UserMessage,
    Workflow,
    WorkflowInput,
    file_part,
    image_part,
    say,
    text_part,
)
from rxagents.operators import markers, messages, responses, text, transcript
from rxagents.saying.content_parts import MAX_FILE_BYTES, MAX_IMAGE_BYTES
from rxagents.saying.media_types import file_media_type, image_media_type
from rxagents.testing import OpenAIServer, draw, virtual

PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\xff\xd9"
GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"
WEBP = b"RIFF\x1a\x00\x00\x00WEBPVP8L\r\x00\x00\x00"
PDF = b"%PDF-1.7\n%%EOF\n"
IMAGES = {"image/png": PNG, "image/jpeg": JPEG, "image/gif": GIF, "image/webp": WEBP}


def url_of(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"


PNG_URL, PDF_URL = url_of("image/png", PNG), url_of("application/pdf", PDF)
IMAGE = {"type": "image_url", "image_url": {"url": PNG_URL}}
REPORT = {"type": "file", "file": {"filename": "report.pdf", "file_data": PDF_URL}}
TEXT = {"type": "text", "text": "What is it?"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cat.png").write_bytes(PNG)
    (tmp_path / "report.pdf").write_bytes(PDF)
    return tmp_path


# -- the type is in the bytes


@pytest.mark.parametrize("media_type", IMAGES)
def test_the_media_type_of_an_image_is_in_its_bytes(media_type: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"  # whatever its name says
    path.write_bytes(IMAGES[media_type])
    given = WorkflowInput("Look").add_image_file(str(path)).add_image_bytes(IMAGES[media_type])
    assert given.images == [url_of(media_type, IMAGES[media_type])] * 2


@settings(deadline=None)
@given(st.sampled_from(list(IMAGES.items())), st.binary(max_size=50))
def test_a_signature_is_enough_and_nothing_less(image: tuple[str, bytes], rest: bytes) -> None:
    media_type, data = image
    assert image_media_type(data[:12] + rest) == media_type
    assert image_media_type(b"\x00" + data) is None
    assert image_media_type(data[:2]) is None


@pytest.mark.parametrize(
    ("data", "name", "media_type"),
    [
        (PDF, "report", "application/pdf"),
        (PDF, "report.txt", "application/pdf"),
        (b"MZ", "report.pdf", None),
        (b"a,b", "table.csv", "text/csv"),
        (b"{}", "data.json", "application/json"),
        ("Grüße".encode(), "notes", "text/plain"),
        (b"\xff\xfe\x00", "blob", None),
    ],
)
def test_the_media_type_of_a_file(data: bytes, name: str, media_type: str | None) -> None:
    assert file_media_type(data, name) == media_type


# -- what is made of it


def test_only_text_is_a_plain_message() -> None:
    assert WorkflowInput("Hi", "ann").to_message() == Message(role="user", content="Hi", name="ann")
    assert WorkflowInput("Hi").to_dict() == {"text": "Hi"}


def test_text_images_and_files_are_parts_in_this_order(folder: Path) -> None:
    given = WorkflowInput("What is it?", name="ann").add_file(folder / "report.pdf")
    given.add_image_file(folder / "cat.png").add_image_url("https://example.com/a.jpg", detail="low")
    assert given.to_message() == Message(
        role="user",
        name="ann",
        content=[
            TEXT,
            IMAGE,
            {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg", "detail": "low"}},
            REPORT,
        ],
    )


def test_an_empty_text_is_no_part() -> None:
    assert WorkflowInput("", images=[PNG]).to_message().content == [IMAGE]


def test_images_and_files_may_be_given_at_once(folder: Path) -> None:
    images = [PNG_URL, PNG, folder / "cat.png", {"url": PNG_URL, "detail": "high"}]
    files = [folder / "report.pdf", {"filename": "report.pdf", "file_data": PDF_URL}, {"file_id": "file-1"}]
    given = WorkflowInput("Look", images=images, files=files)
    assert given.images == [PNG_URL, PNG_URL, PNG_URL, {"url": PNG_URL, "detail": "high"}]
    assert given.files == [REPORT["file"], REPORT["file"], {"file_id": "file-1"}]
    assert given.to_message().text == "Look"


def test_inputs_share_nothing(folder: Path) -> None:
    images: list[Any] = []
    first, second = WorkflowInput("a", images=images), WorkflowInput("b", images=images)
    before = first.add_image_bytes(PNG).to_message()
    first.add_image_bytes(GIF)
    assert (second.images, images, WorkflowInput("c").images) == ([], [], [])
    assert before.content == [text_part("a"), IMAGE]


def test_it_goes_through_json(folder: Path) -> None:
    given = WorkflowInput("Look", "ann", images=[PNG, {"url": PNG_URL, "detail": "low"}])
    given.add_file(folder / "report.pdf")
    read = WorkflowInput.from_dict(json.loads(json.dumps(given.to_dict())))
    assert read == given
    assert read.to_message().hash_key == given.to_message().hash_key


def test_the_parts_by_themselves(folder: Path) -> None:
    assert [text_part("What is it?"), image_part(folder / "cat.png"), file_part(folder / "report.pdf")] == [
        TEXT,
        IMAGE,
        REPORT,
    ]
    assert file_part(PDF, filename="report.pdf") == REPORT
    assert file_part(folder / "cat.png", filename="x", media_type="image/png")["file"] == {
        "filename": "x",
        "file_data": PNG_URL,
    }
    assert image_part(b"II*\x00", media_type="image/tiff")["image_url"]["url"].startswith("data:image/tiff;")
    assert image_part(bytearray(PNG)) == image_part(memoryview(PNG)) == IMAGE


# -- errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: image_part(b"BM\x00\x00"), r"bytes is no PNG, JPEG, GIF or WEBP \(it begins with b'BM"),
        (lambda: image_part(b""), "the image of these bytes is empty"),
        (lambda: image_part(PNG, media_type="image/jpeg"), "is said to be image/jpeg, but it is image/png"),
        (lambda: image_part(PNG, media_type="png"), "a media type is like 'image/png', not 'png'"),
        (lambda: image_part(PNG, detail="max"), "one of auto, low, high, original, not 'max'"),  # type: ignore[arg-type]
        (lambda: image_part("cat.png"), "'cat.png' is no URL of an image; for a file give a pathlib.Path"),
        (lambda: image_part("data:text/plain;base64,AAAA"), "is no image in base64"),
        (lambda: image_part("data:image/png,AAAA"), "is no image in base64"),
        (lambda: image_part(7), "the image is a Path or bytes, not int"),  # type: ignore[arg-type]
        (lambda: file_part("report.pdf"), "the file is a Path or bytes, not str"),  # type: ignore[arg-type]
        (lambda: file_part(PDF), "has no name: give filename='report.pdf'"),
        (lambda: file_part(b"MZ", filename="a.pdf"), "the file 'a.pdf' is no PDF, whatever its name"),
        (lambda: file_part(b"\xff\xfe", filename="a"), "the file 'a' is of no known type; give media_type="),
        (lambda: text_part(7), "the text of a text part is a str, not int"),  # type: ignore[arg-type]
        (lambda: WorkflowInput(7), "the text of a WorkflowInput is a str, not int"),  # type: ignore[arg-type]
        (lambda: WorkflowInput("a", images=PNG_URL), "the images of a WorkflowInput are a list, not str"),  # type: ignore[arg-type]
        (lambda: WorkflowInput("a", files={}), "the files of a WorkflowInput are a list, not dict"),  # type: ignore[arg-type]
        (lambda: WorkflowInput("a", images=[{"uri": "x"}]), r"a dict with 'url' .* not with \['uri'\]"),
        (lambda: WorkflowInput("a", files=[{"filename": "x"}]), r"or 'filename' and 'file_data', not"),
        (lambda: WorkflowInput("a", files=[PDF]), "has no name"),
        (lambda: WorkflowInput.from_dict({"text": "a", "image": []}), "'images' and 'files', not 'image'"),
        (lambda: WorkflowInput.from_dict({"images": []}), "a WorkflowInput needs a 'text'"),
        (lambda: say({"text": "a", "images": ["cat.png"]}), "'cat.png' is no URL of an image"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_at_once(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "cat.png"
    with pytest.raises(InputError, match=r"the image '.*cat\.png' cannot be read: No such file or directory"):
        WorkflowInput("a").add_image_file(missing)
    with pytest.raises(InputError, match=r"the file '.*' cannot be read: Is a directory"):
        WorkflowInput("a").add_file(tmp_path)


def test_the_name_of_a_wrong_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(b"<svg/>")
    with pytest.raises(InputError, match=r"the image 'cat\.png' is no PNG, JPEG, GIF or WEBP"):
        WorkflowInput("a").add_image_file(path)


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1024 * 1024)
    with pytest.raises(InputError) as caught:
        WorkflowInput("a").add_image_file(large)
    assert str(caught.value) == (
        f"the image {str(large)!r} has 21 MB, more than the 20 MB that a model takes; "
        "make it smaller, or give max_bytes= for a model that takes more"
    )
    with pytest.raises(InputError, match="has 54 bytes, more than the 20 bytes"):
        WorkflowInput("a").add_image_bytes(PNG[:54], max_bytes=20)
    assert MAX_FILE_BYTES == 50 * 1024 * 1024
    with pytest.raises(InputError, match="more than the 10 bytes"):
        file_part(PDF, filename="a.pdf", max_bytes=10)


def test_a_larger_limit_can_be_given(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(PNG + bytes(MAX_IMAGE_BYTES))
    given = WorkflowInput("a").add_image_file(large, max_bytes=2 * MAX_IMAGE_BYTES)
    assert len(given.images[0]) > MAX_IMAGE_BYTES


# -- the way through a conversation


LOOK = {"text": "What is it?", "images": [PNG_URL], "files": [REPORT["file"]]}
PARTS = [TEXT, IMAGE, REPORT]


async def every(source: rx.Observable[Any]) -> list[Any]:
    return await source.pipe(ops.to_list())


@virtual
async def test_it_can_be_said_in_every_way() -> None:
    given = WorkflowInput.from_dict(LOOK)
    for thing in (given, LOOK, given.to_message(), {"role": "user", "content": PARTS}, [LOOK]):
        [heard] = await every(say(thing).pipe(responses(inputs=True)))
        assert (heard.role, heard.content, heard.text) == ("user", PARTS, "What is it?")


@virtual
async def test_markers_show_the_parts() -> None:
    marks = await every(say(LOOK).pipe(markers()))
    [response] = [content for mark, content in marks if mark == "response"] or [None]
    assert response is None or response[0]["content"] == PARTS
    json.dumps(marks)
    [stream] = await every(say(LOOK).pipe(messages(inputs=True)))
    assert [part["content_parts"] for part in stream.items] == [PARTS]


@virtual
async def test_a_conversation_keeps_them_through_json() -> None:
    conversation = Conversation()
    workflow = Workflow(Agent("bot", ScriptedLLM(["A cat."])), conversation)
    assert (await workflow.arun(WorkflowInput.from_dict(LOOK))) is not None
    read = Conversation.from_dict(json.loads(json.dumps(conversation.to_dict())))
    assert [message.content for message in read.messages] == [PARTS, "A cat."]


@virtual
async def test_readers_of_text_see_only_the_text() -> None:
    assert await every(say(LOOK).pipe(text(inputs=True))) == ["What is it?"]
    [heard] = await every(say(LOOK).pipe(transcript()))
    assert [str(message) for message in heard] == ["What is it?"]


def test_it_can_be_recorded_and_drawn(tmp_path: Path) -> None:
    workflow = Workflow(Agent("bot", ScriptedLLM(["Cat."])))
    with workflow.record(tmp_path / "run.jsonl"):
        workflow.run(WorkflowInput.from_dict(LOOK))
    drawn = draw(tmp_path / "run.jsonl").text
    assert "Cat" in drawn
    assert "What is it?" in drawn
    assert "base64" not in drawn


@virtual
async def test_strategies_keep_the_parts() -> None:
    asked: list[Any] = []
    llm = ScriptedLLM(lambda request: asked.append(request.messages) or "A cat.")  # type: ignore[func-returns-value]
    bot = Agent("bot", llm, reading_strategy=lambda heard: list(heard)[-2:])
    await every(say("Hi", AssistantMessage("Yes?"), LOOK).pipe(bot, text()))
    [sent] = asked
    assert sent[-1]["content"] == PARTS


# -- over the wire


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_the_server_gets_them(folder: Path, api: Any) -> None:
    given = WorkflowInput("What is it?").add_image_file(folder / "cat.png", detail="low")
    given.add_file(folder / "report.pdf")
    with OpenAIServer(["A cat.", "Yes."]) as server:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="k", max_retries=0, api=api)
        workflow = Workflow(Agent("bot", llm, system_message="Look closely."))
        workflow.run(given)
        workflow.run("Sure?")
        first, second = (request.body for request in server.requests)
    if api == "chat":
        user = {
            "role": "user",
            "content": [TEXT, {**IMAGE, "image_url": {"url": PNG_URL, "detail": "low"}}, REPORT],
        }
        assert first["messages"][1] == user
        assert second["messages"][1:] == [
            user,
            {"role": "assistant", "content": "A cat.", "name": "bot"},
            {"role": "user", "content": "Sure?"},
        ]
    else:
        parts = first["input"][-1]["content"]
        assert [part["type"] for part in parts] == ["input_text", "input_image", "input_file"]
        assert (parts[1]["image_url"], parts[1]["detail"]) == (PNG_URL, "low")
        assert (parts[2]["filename"], parts[2]["file_data"]) == ("report.pdf", PDF_URL)


def test_parts_in_a_message_of_ones_own(folder: Path) -> None:
    question = UserMessage([text_part("What is it?"), image_part(folder / "cat.png")])

    async def ask(server: OpenAIServer) -> list[str]:
        llm = OpenAILLM("gpt-test", base_url=server.base_url, api_key="k", max_retries=0)
        return await every(say(question).pipe(Agent("bot", llm), text()))

    with OpenAIServer(["A cat."]) as server:
        said = asyncio.run(asyncio.wait_for(ask(server), 30))
        [request] = server.requests
    assert "".join(said) == "A cat."
    assert request.body["messages"] == [{"role": "user", "content": [TEXT, IMAGE]}]
