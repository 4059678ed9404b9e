"""The style of the page of changes, over that of the report on the data."""

OWN_STYLE = (
    """
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(11.5rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .6rem .9rem; overflow-wrap: anywhere; }
.card b { display: block; font-size: 1.15rem; } .card.bad { border-color: var(--bad); }
.card.bad b { color: var(--bad); }
:root { --bad: #a4262c; --good: #1f6b33; --c0: #1b5fa8; --c1: #b06f00; --c2: #1f7a4d;
  --c3: #7a3e9d; --c4: #0b7285; --c5: #a13f5b; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8f8f; --good: #7fd49a; --c0: #6aaef5;
  --c1: #f0b24a; --c2: #6fcf97; --c3: #c79bea; --c4: #5cc8d8; --c5: #f093ad; } }
.timeline { display: block; font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; }
.timeline text { fill: var(--ink); } .timeline .lane, .timeline .date { fill: var(--muted); }
.timeline .rail { stroke: var(--line); } .timeline .mark { text-anchor: middle; font-size: 14px; }
.timeline .refused, .timeline .back text { fill: var(--bad); }
.timeline .passed, .timeline .approval { fill: var(--good); }
.timeline .back line { stroke: var(--bad); stroke-width: 2; stroke-dasharray: 4 3; }
.timeline .bar { fill-opacity: .28; stroke-width: 1.5; }
.timeline .shadow { fill-opacity: .08; stroke-dasharray: 3 3; }
"""
    + "".join(f".c{at} {{ fill: var(--c{at}); stroke: var(--c{at}); }}\n" for at in range(6))
    + """
.lanes { display: flex; border: 1px solid var(--line); border-radius: 8px; padding: .5rem 0;
  background: var(--card); } .names { flex: none; }
.frame { overflow-x: auto; flex: 1; direction: rtl; }
.frame > * { direction: ltr; margin: 0 auto 0 0; }
ol.events { list-style: none; padding: 0; }
ol.events > li { border-left: 3px solid var(--line); padding: .35rem 0 .35rem 1rem; margin: 0; }
li.refused { border-color: var(--bad) !important; } li.back { border-color: var(--bad) !important; }
li.change { border-color: var(--c0) !important; }
.badge { display: inline-block; min-width: 4.6rem; font-size: .75rem; color: var(--muted);
  border: 1px solid var(--line); border-radius: 999px; padding: 0 .6rem; text-align: center; }
.refused .badge, .back .badge { color: var(--bad); border-color: var(--bad); }
time { color: var(--muted); font-size: .875rem; font-variant-numeric: tabular-nums; }
li p { margin: .15rem 0; } details { margin: .25rem 0; } summary { cursor: pointer;
  color: var(--link); font-size: .875rem; } code { overflow-wrap: anywhere; font-size: .85rem; }
"""
)
