"""One HTML page: its frame and its style. No script, no network."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;
color:#1c2733}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #dde3ea;vertical-align:top}
td.n,.w{white-space:nowrap}td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}
.confirmed{color:#b23a48;font-weight:600}.alert{color:#b06f00;font-weight:600}.quiet{color:#5a6a7a}
.box{border-left:4px solid #b23a48;background:#faf3f4;padding:.6rem 1rem;margin:.8rem 0}
.box.note,.two .box{border-color:#1b5fa8;background:#f2f6fa}.box h3{margin:.2rem 0}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:1rem}
.lead{font-size:1.15rem;margin:.2rem 0}figure{margin:0}figure svg{max-width:100%;height:auto}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));gap:1rem}
.card{border:1px solid #dde3ea;border-radius:4px;padding:.5rem .8rem}
.card h3{font-size:.95rem;margin:.1rem 0 .4rem;font-weight:500}.card p{margin:.2rem 0}
.bar{display:inline-block;width:6rem;height:.7rem;background:#e9edf1;vertical-align:baseline}
.fill{display:block;height:100%;background:#8a97a5}.fill.confirmed{background:#b23a48}
.fill.alert{background:#d98e04}.fill.chance{background:#1b5fa8}
.for{color:#1f6b33}.against{color:#9a2f3c}.strong{font-weight:700}
table+table{margin-top:1.4rem}th.n{text-align:right}
details{margin:.6rem 0}summary{cursor:pointer;font-weight:600}
"""


def page(title: str, body: Iterable[str]) -> str:
    """Return a whole HTML page."""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style><body>{''.join(body)}</body></html>"
    )
