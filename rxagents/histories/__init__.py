"""Histories: where conversations are kept from one run, or one process, to the next.

- `InMemoryHistory()`: as long as the program runs.
- `MarkdownHistory("chat.md")`: a file that a person can read and edit.
- `SQLiteHistory("chats.db", "ada")`: one of many conversations, written as its items arrive.

```python
workflow = Workflow(bot, history=SQLiteHistory("chats.db", "ada"))
```
"""

from __future__ import annotations

from .in_memory import InMemoryHistory
from .markdown import MarkdownHistory
from .protocol import History
from .sqlite import SQLiteHistory

__all__ = ["History", "InMemoryHistory", "MarkdownHistory", "SQLiteHistory"]
