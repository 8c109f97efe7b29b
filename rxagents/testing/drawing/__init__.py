"""Drawing a run: the same lanes as Unicode for a terminal, and as SVG for a page.

```
Lane ─▶ scenes ─▶ layouts ─▶ text_drawings
   what there is   where     svg_drawings
```
"""

from .drawings import Drawing, draw

__all__ = ["Drawing", "draw"]
