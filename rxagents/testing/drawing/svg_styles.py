"""The look of an SVG drawing: its colours, light and dark, and its type, as one style sheet."""

from __future__ import annotations

__all__ = ["HUES", "STYLE"]

# tint, edge and ink of what a speaker says; each ink is readable on its tint (contrast of 7 and more)
_LIGHT = (
    "#ddebfd #2f6fc4 #0b3d80", "#daf2e0 #2a7f49 #0c4a24", "#ebe3fd #7348c8 #43208c",
    "#fde2ec #b83a6c #7a123f", "#d5f1f1 #17767f #08474d", "#efeccb #7b6d0e #4a4104",
)  # fmt: skip
_DARK = (
    "#14304f #5ea6f2 #cfe4fd", "#12361f #56bd78 #c8f0d5", "#2c2149 #a987f2 #e2d6fd",
    "#451a2c #ee86ae #fdd5e3", "#0d383c #4fc0cb #c5eef2", "#353110 #cab94f #f2eac0",
)  # fmt: skip
HUES = len(_LIGHT)

_ROLES = """
    .page   fill    #ffffff #0d1117
    .rim    stroke  #d8dee4 #30363d
    .ink    fill    #1f2328 #e6edf3
    .muted  fill    #57606a #9da7b3
    .grid   stroke  #e4e8ec #21272e
    .axis   stroke  #8c959f #6e7681
    .cut    fill    #f1f3f5 #171c23
    .halo   stroke  #ffffff #0d1117
    .lane   stroke  #57606a #9da7b3
    .tint   fill    #eceff2 #262c33
    .edge   stroke  #57606a #9da7b3
    .solid  fill    #57606a #9da7b3
    .on     stroke  #ffffff #0d1117
    .word   fill    #1f2328 #e6edf3
    .call   fill    #fdecd3 #43290a
    .bound  stroke  #9a5700 #f0ae5c
    .name   fill    #5c3300 #fbdcae
    .bad    fill    #c4252d #ff7b72
    .worse  stroke  #c4252d #ff7b72
"""

_TYPE = """
.rx text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre}
.rx .label,.rx .tick{font-family:ui-sans-serif,system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif}
.rx .label{font-size:12.5px}
.rx .block{font-weight:600}
.rx .tick{font-size:11px;font-variant-numeric:tabular-nums}
.rx .mid{text-anchor:middle}
.rx .end{text-anchor:end}
.rx .halo{stroke-width:4px;stroke-linejoin:round;paint-order:stroke}
.rx .line{fill:none;stroke-width:1.5px;stroke-linecap:round;stroke-linejoin:round}
.rx .thick{stroke-width:2.5px}
.rx .open{stroke-dasharray:2 5}
.rx .edge,.rx .bound{stroke-width:1.3px}
.rx .grid,.rx .axis,.rx .rim{stroke-width:1px;fill:none}
.rx .frame{fill-opacity:.22;stroke-opacity:.35;stroke-width:1px}
.rx .beat{stroke-width:2.2px;stroke-linecap:round;stroke-opacity:.8;fill:none}
.rx .far{stroke-opacity:.22}
"""


def _rules(shade: int) -> str:
    rules: list[str] = []
    for line in _ROLES.split("\n"):
        if line.strip():
            role, property_, *colours = line.split()
            rules.append(f".rx {role}{{{property_}:{colours[shade]}}}")
    for number, hue in enumerate((_LIGHT, _DARK)[shade]):
        tint, edge, ink = hue.split()
        of = f".rx .h{number}"
        rules.append(
            f"{of} .tint{{fill:{tint}}}{of} .edge,{of} .lane{{stroke:{edge}}}"
            f"{of} .solid{{fill:{edge}}}{of} .word{{fill:{ink}}}"
        )
    return "\n".join(rules)


STYLE = f"{_TYPE.strip()}\n{_rules(0)}\n@media (prefers-color-scheme:dark){{\n{_rules(1)}\n}}"
