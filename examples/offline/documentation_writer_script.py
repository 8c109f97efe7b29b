"""What the models say that write the page."""

from rxagents.llm import Call, Rule

from . import Body, asks

NAMES = ["Agent", "Team", "Workflow"]


def said(body: Body) -> list[str]:
    return [str(m["content"]) for m in body["messages"] if m["role"] != "system" and m["content"]]


def asked(body: Body) -> object:
    number = sum(text.startswith("What is ") for text in said(body))
    return f"What is {NAMES[number % len(NAMES)]}?"


def answered(body: Body) -> object:
    name = [text for text in said(body) if text.startswith("What is ")][-1].split()[-1].rstrip("?")
    last_call = body["messages"][-1]
    if last_call["role"] != "tool":
        return Call("docstring", {"name": name})
    first = str(last_call["content"]).partition("\n")[0]
    return f"{name}: {first}"


def written(body: Body) -> object:
    sections = [text for text in said(body) if text.partition(":")[0] in NAMES]
    page = ["# rxagents"]
    for section in sections:
        name, _, text = section.partition(": ")
        page.append(f"## {name}\n\n{text}")
    return "\n\n".join(page)


SCRIPT = [
    Rule(asks("You interview"), asked),
    Rule(asks("You know"), answered),
    Rule(asks("You write"), written),
]
