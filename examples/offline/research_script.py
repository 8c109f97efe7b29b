"""What the models of the research desk say."""

from rxagents.llm import Rule

from . import Body, asks, last

REPORTS = {
    "How deep is the sea?": "About 3,700 metres on average, and three times that at the deepest place.",
    "Why is it salty?": "Rivers wash salts out of the rocks, and only the water leaves again.",
    "What lives there?": "Most of all that lives, and most of it unseen.",
}


def researched(body: Body) -> object:
    return REPORTS.get(last(body, "user"), "Nobody knows.")


SCRIPT = [
    Rule(asks("You split"), {"parts": list(REPORTS)}),
    Rule(asks("You answer"), researched),
    Rule(asks("You sum up"), "The sea is deep, salty and full of life."),
]
