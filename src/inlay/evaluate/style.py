"""The style sheet of the report: system fonts, one accent, light and dark, narrow and printed."""

# No < or & in here: the page is also read as XML. `--g0` to `--g7` colour the groups of the map, the last one "other".
_LIGHT = """
color-scheme: light;
--paper: #fdfdfb; --panel: #f4f5f3; --ink: #1c2024; --muted: #59626c; --line: #dfe2e0; --accent: #0a6a86;
--g0: #0a6a86; --g1: #c2410c; --g2: #6d3fd1; --g3: #2f7d32; --g4: #b8256b; --g5: #8f6400; --g6: #2456c9; --g7: #6b747d;
"""
_DARK = """
color-scheme: dark;
--paper: #14171a; --panel: #1c2024; --ink: #e3e6e8; --muted: #9ba5ae; --line: #30363c; --accent: #62bfd9;
--g0: #62bfd9; --g1: #f0905a; --g2: #b09af5; --g3: #7cc67f; --g4: #ee86b4; --g5: #dcb24e; --g6: #82a8f7; --g7: #8d979f;
"""
_SANS = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", Arial, '
    '"PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "Noto Sans CJK SC", "Source Han Sans SC", sans-serif'
)

STYLE = f"""
:root {{ {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
@media print {{ :root {{ {_LIGHT} --paper: #fff; }} }}

* {{ box-sizing: border-box; }}
html {{ -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }}
body {{
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 {_SANS}; font-variant-numeric: tabular-nums; overflow-wrap: break-word;
}}
header, main, footer {{ max-width: 60rem; margin: 0 auto; padding: 0 1.5rem; }}
header {{ padding-top: 3.5rem; }}
header p {{ margin: 0; color: var(--muted); }}
h1, h2, h3 {{ line-height: 1.2; font-weight: 600; text-wrap: balance; }}
h1 {{ margin: .25rem 0 1.25rem; font-size: 2rem; letter-spacing: -.015em; }}
h2 {{ margin: 0 0 .6rem; font-size: 1.3rem; letter-spacing: -.01em; }}
h3 {{ margin: 2rem 0 .5rem; font-size: 1rem; }}
nav ul {{ display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0; padding: 0; list-style: none; }}
nav {{ padding-bottom: 1rem; border-bottom: 1px solid var(--line); font-size: .875rem; }}
a {{ color: var(--accent); text-underline-offset: .2em; text-decoration-thickness: 1px; }}
nav a {{ text-decoration: none; }}
nav a:hover {{ text-decoration: underline; }}
:focus-visible {{ outline: 2px solid var(--accent); outline-offset: 3px; }}
section {{ margin-top: 4rem; }}
header + main section:first-child {{ margin-top: 2.5rem; }}
p, ul, ol, dl {{ margin: 0 0 1rem; }}
.lead {{ max-width: 42rem; font-size: 1.125rem; }}
.note {{ max-width: 42rem; margin-bottom: 1rem; color: var(--muted); font-size: .9rem; }}
footer {{ margin-top: 5rem; padding-top: 1rem; padding-bottom: 3rem; color: var(--muted); font-size: .8rem; }}
code {{ font: .85em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}

.figures {{
  display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1.5rem; margin: 2rem 0;
}}
.figures dt {{ color: var(--muted); font-size: .875rem; }}
.figures dd {{ margin: 0; }}
.figures .big {{ font-size: 2.25rem; line-height: 1.25; font-weight: 600; letter-spacing: -.02em; }}
.figures .small {{ color: var(--muted); font-size: .875rem; }}
.why {{ max-width: 42rem; margin-bottom: 1.75rem; }}
ul {{ padding-left: 1.2rem; }}
.why li {{ margin-bottom: .35rem; }}
.facts {{ display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem; }}
.facts dt {{ color: var(--muted); }}
.facts dd {{ margin: 0; min-width: 0; }}

table {{ width: 100%; border-collapse: collapse; text-align: left; }}
caption {{ padding-bottom: .75rem; color: var(--muted); font-size: .875rem; text-align: left; }}
th, td {{ padding: .55rem .75rem .55rem 0; border-bottom: 1px solid var(--line); vertical-align: middle; }}
thead th {{ vertical-align: bottom; color: var(--muted); font-size: .8125rem; font-weight: 500; }}
tbody th {{ font-weight: 500; }}
.num {{ text-align: right; white-space: nowrap; }}
th:last-child, td:last-child {{ padding-right: 0; }}
.what {{ display: block; color: var(--muted); font-size: .8125rem; font-weight: 400; line-height: 1.35; }}
.tag {{
  margin-left: .4rem; padding: .05rem .45rem; border-radius: 1rem; background: var(--accent); color: var(--paper);
  font-size: .75rem; font-weight: 600; white-space: nowrap;
}}
.shipped > * {{ background: var(--panel); }}
.shipped > th {{ box-shadow: -.75rem 0 var(--panel), calc(-.75rem - 3px) 0 var(--accent); }}
.shipped > :last-child {{ box-shadow: .75rem 0 var(--panel); }}
.ladder thead svg {{ margin-top: .25rem; }}
.ladder thead th:first-child {{ width: 27%; }}
.ladder .num {{ width: 4.5rem; }}
.measure {{ display: grid; grid-template-columns: minmax(4rem, 1fr) 5.75rem; gap: 0 1rem; align-items: center; }}
.range {{ display: block; color: var(--muted); font-size: .75rem; line-height: 1.2; }}
.bars td:nth-child(2) {{ width: 45%; }}

svg {{ display: block; width: 100%; overflow: visible; }}
svg text {{ fill: var(--muted); font-size: .75rem; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }}
.grid {{ stroke: var(--line); }}
.mark {{ fill: var(--accent); }}
.line {{ fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; }}
.line {{ vector-effect: non-scaling-stroke; }}
.faint {{ stroke-width: 1; opacity: .3; }}
.whisker line {{ stroke: var(--muted); stroke-width: 1.5; }}
.whisker circle {{ fill: var(--muted); }}
.whisker .reference {{ stroke: var(--muted); stroke-width: 1; stroke-dasharray: 2 3; }}
.shipped .whisker line:not(.reference) {{ stroke: var(--accent); }}
.shipped .whisker circle {{ fill: var(--accent); }}
.map {{ max-width: 52rem; border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; }}
.map circle {{ fill-opacity: .6; }}
.map circle:hover {{ fill-opacity: 1; stroke: var(--ink); stroke-width: 2; }}
.g0 {{ fill: var(--g0); }} .g1 {{ fill: var(--g1); }} .g2 {{ fill: var(--g2); }} .g3 {{ fill: var(--g3); }}
.g4 {{ fill: var(--g4); }} .g5 {{ fill: var(--g5); }} .g6 {{ fill: var(--g6); }} .g7 {{ fill: var(--g7); }}
.legend {{ display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin-top: 1rem; padding: 0; list-style: none; }}
.legend {{ font-size: .875rem; }}
.legend svg {{ display: inline-block; width: .65rem; height: .65rem; margin-right: .4rem; }}
.curves {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem 2.5rem; }}
figure {{ margin: 0; }}
.curves h3 {{ margin-top: .5rem; }}

.hits {{ padding: 0; list-style: none; counter-reset: hit; }}
.hits li {{
  display: grid; grid-template-columns: 1.5rem minmax(0, 1fr) max-content; gap: 0 .5rem; padding: .55rem 0;
  border-bottom: 1px solid var(--line); counter-increment: hit;
}}
.hits li::before {{ content: counter(hit); color: var(--muted); }}
.hits p {{ margin: 0; }}
.hits .title {{ font-weight: 500; }}
.hits .snippet {{ color: var(--muted); font-size: .9rem; }}
.hits .score {{ color: var(--muted); font-size: .875rem; }}
.quotes {{ color: var(--muted); font-size: .9rem; }}
summary {{ cursor: pointer; color: var(--accent); }}
details {{ margin-top: 1.25rem; }}
details table {{ margin-top: 1rem; font-size: .9rem; }}
details th:first-child {{ width: 40%; }}
details th, details td {{ padding-top: .3rem; padding-bottom: .3rem; }}

@media (max-width: 44rem) {{
  header {{ padding-top: 2rem; }}
  header, main, footer {{ padding-left: 1.1rem; padding-right: 1.1rem; }}
  section {{ margin-top: 3rem; }}
  .figures {{ grid-template-columns: 1fr 1fr; gap: 1.25rem; }}
  .figures .big {{ font-size: 1.75rem; }}
  .facts {{ grid-template-columns: 1fr; gap: 0; }}
  .facts dd {{ margin-bottom: .6rem; }}
  .map circle {{ r: 7px; }}
  .alternate {{ display: none; }}
  .ladder, .ladder tbody, .ladder caption {{ display: block; }}
  .ladder thead {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }}
  .ladder tr {{ display: grid; grid-template-columns: 1fr 1fr; gap: .1rem 1rem; padding: .75rem 0; }}
  .ladder tr {{ border-bottom: 1px solid var(--line); }}
  .ladder tbody th, .ladder td {{ padding: 0; border: 0; text-align: left; }}
  .ladder tbody th, .ladder .wide {{ grid-column: 1 / -1; }}
  .ladder td::before {{ content: attr(data-label) " "; color: var(--muted); font-size: .8125rem; }}
  .shipped {{ margin: 0 -.75rem; padding: .75rem !important; background: var(--panel); }}
  .shipped > th, .shipped > :last-child {{ box-shadow: none; }}
  .scroll {{ overflow-x: auto; }}
}}
@media print {{
  body {{ font-size: 10pt; }}
  header, main, footer {{ max-width: none; padding: 0; }}
  nav {{ display: none; }}
  section {{ margin-top: 2.5rem; }}
  h2, h3, .note {{ break-after: avoid; }}
  tr, figure, .map, .note, .hits li, .figures {{ break-inside: avoid; }}
  .tag, .shipped > *, svg {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
  details::details-content {{ content-visibility: visible; display: block; block-size: auto; }}
}}
"""
