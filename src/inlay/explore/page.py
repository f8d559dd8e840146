"""The map as one HTML file, complete in itself: it can be enlarged, moved and searched, and loads nothing.

Without scripts it is a still picture whose points tell their word under the pointer.
"""

import base64
import hashlib
from collections import Counter

import numpy as np

from inlay.evaluate.shown import escape
from inlay.evaluate.style import STYLE
from inlay.explore.labels import fit, place, width
from inlay.explore.map import PointMap

_WIDTH, _HEIGHT, _MARGIN = 1200.0, 820.0, 36.0
_FONT, _LINE, _GAP = 13.0, 15.0, 7.0
"""Pixels: a letter, a label, and from a point to its label."""

_STYLE = """
header, main, footer { max-width: 80rem; }
header { padding-top: 1.75rem; }
h1 { font-size: 1.4rem; margin: 0 0 .75rem; }
main { overflow-x: auto; }
.words { min-width: 48rem; border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; cursor: grab; }
.words circle { fill-opacity: .7; }
.words circle:not([class]) { fill: var(--accent); }
.words text { fill: var(--ink); font-size: 13px; pointer-events: none; user-select: none; }
.words .off text { visibility: hidden; }
.words g:hover circle, .words .found circle { fill: #c2410c; fill-opacity: 1; }
.words g:hover text, .words .found text { visibility: visible; fill: #c2410c; font-weight: 600; }
.tools { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: 0 0 .75rem; }
.tools input, .tools button {
  font: inherit; font-size: .9rem; padding: .25rem .65rem; color: var(--ink); background: var(--panel);
  border: 1px solid var(--line); border-radius: .35rem;
}
.tools [role=status] { color: var(--muted); font-size: .9rem; }
footer { margin-top: 1rem; padding-bottom: 1.5rem; }
"""

_SCRIPT = """
const svg = document.querySelector('.words'), box = svg.viewBox.baseVal;
const words = [...svg.querySelectorAll('g')].map(g => {
  const text = g.querySelector('text'), frame = text.getBBox();
  return {g, x: +g.dataset.x, y: +g.dataset.y, dx: frame.x, dy: +text.getAttribute('y'),
          wide: frame.width, name: g.querySelector('title').textContent.toLowerCase()};
});
const still = words.map(w => w.g.classList.contains('off'));
let zoom = 1, left = 0, up = 0, waiting = false;

function draw() {
  waiting = false;
  svg.style.touchAction = zoom > 1 ? 'none' : 'auto';
  const cells = new Map(), size = 60;
  words.forEach((w, at) => {
    const x = w.x * zoom + left, y = w.y * zoom + up;
    w.g.setAttribute('transform', `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
    const inside = x > -50 && y > -50 && x < box.width + 50 && y < box.height + 50;
    w.g.style.display = inside ? '' : 'none';
    if (!inside) return;
    const a = [x + w.dx, y + w.dy - 12, x + w.dx + w.wide, y + w.dy + 3], near = [];
    for (let i = Math.floor(a[0] / size); i <= a[2] / size; i++)
      for (let j = Math.floor(a[1] / size); j <= a[3] / size; j++) {
        const key = i + ' ' + j;
        if (!cells.has(key)) cells.set(key, []);
        near.push(cells.get(key));
      }
    const apart = b => a[2] < b[0] || b[2] < a[0] || a[3] < b[1] || b[3] < a[1];
    const free = zoom === 1 ? !still[at] : near.every(cell => cell.every(apart));
    if (free) near.forEach(cell => cell.push(a));
    w.g.classList.toggle('off', !free);
  });
}
function later() { if (!waiting) { waiting = true; requestAnimationFrame(draw); } }
function at(event) {
  const frame = svg.getBoundingClientRect(), scale = box.width / frame.width;
  return [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
}
function enlarge(factor, x = box.width / 2, y = box.height / 2) {
  const next = Math.min(Math.max(zoom * factor, 1), 60);
  left = x - (x - left) * next / zoom; up = y - (y - up) * next / zoom; zoom = next;
  if (zoom === 1) left = up = 0;
  later();
}
svg.addEventListener('wheel', event => {
  event.preventDefault(); enlarge(Math.exp(-event.deltaY / 400), ...at(event));
}, {passive: false});
let held = null;
svg.addEventListener('pointerdown', event => { held = at(event); svg.setPointerCapture(event.pointerId); });
svg.addEventListener('pointerup', () => { held = null; });
svg.addEventListener('pointermove', event => {
  if (!held || zoom === 1) return;
  const [x, y] = at(event); left += x - held[0]; up += y - held[1]; held = [x, y]; later();
});
document.querySelector('#in').onclick = () => enlarge(1.5);
document.querySelector('#out').onclick = () => enlarge(1 / 1.5);
document.querySelector('#all').onclick = () => enlarge(0);
const find = document.querySelector('input'), status = document.querySelector('[role=status]');
find.addEventListener('input', () => {
  const wanted = find.value.trim().toLowerCase();
  const found = wanted ? words.filter(w => w.name.includes(wanted)) : [];
  for (const w of words) w.g.classList.toggle('found', found.includes(w));
  status.textContent = wanted ? `${found.length} found` : '';
  const best = found.find(w => w.name === wanted) || found[0];
  if (best && zoom > 1) { left = box.width / 2 - best.x * zoom; up = box.height / 2 - best.y * zoom; later(); }
});
document.querySelector('.tools').hidden = false;
"""


def page(shown: PointMap) -> tuple[str, int]:
    """The page, and how many points have their label on it before it is enlarged."""
    points = fit(shown.points, _WIDTH, _HEIGHT, _MARGIN)
    sizes = np.array([(width(name) * _FONT + 4, _LINE) for name in shown.names])
    corners = place(points, sizes, (_WIDTH, _HEIGHT), gap=_GAP, all_of_them=shown.chosen)
    has = ~np.isnan(corners[:, 0])
    beside = np.where(has[:, None], corners - points, (_GAP, -_LINE / 2))  # a label without a place: to the right
    told = shown.names if shown.told is None else shown.told
    marks = "\n".join(
        f'<g{"" if label else " class=off"} data-x="{x:.1f}" data-y="{y:.1f}" transform="translate({x:.1f} {y:.1f})">'
        f'<circle{_shade(shown, at)} r="3.5"><title>{escape(told[at])}</title></circle>'
        f'<text {_tied(dx, wide)} y="{dy + 0.8 * _LINE:.1f}">{escape(name)}</text></g>'
        for at, (name, (x, y), (dx, dy), wide, label) in enumerate(
            zip(shown.names, points, beside, sizes[:, 0], has, strict=True)
        )
    )
    title = escape(shown.title)
    tools = """<div class="tools" hidden>
<input type="search" placeholder="find" aria-label="Find a point by its name">
<button id="in" aria-label="Enlarge">+</button><button id="out" aria-label="Reduce">−</button>
<button id="all">all</button><span role="status"></span>
</div>"""
    picture = f'''<svg class="words" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" aria-label="{title}">
{marks}
</svg>{_legend(shown)}'''
    footer = f"{escape(shown.about)} Turn the wheel to enlarge, and drag to move."
    return whole(title, "map", tools, picture, footer, style=_STYLE, script=_SCRIPT), int(has.sum())


def whole(title: str, kind: str, head: str, body: str, footer: str, *, style: str, script: str = "") -> str:
    """A page that is complete in itself: nothing is loaded, and no script runs but this one. Everything is HTML."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"; script-src 'sha256-{digest}'" if script else ""
    run = f"<script>{script}</script>\n" if script else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'{allowed}">
<title>{title} · inlay {kind}</title>
<style>{STYLE}{style}</style>
</head>
<body>
<header>
<p>inlay {kind}</p>
<h1>{title}</h1>
{head}
</header>
<main>
{body}
</main>
<footer>{footer}</footer>
{run}</body>
</html>
"""


def _shade(shown: PointMap, at: int) -> str:
    return f' class="g{shown.shade(at)}"' if shown.groups is not None else ""


def _legend(shown: PointMap) -> str:
    """What the colours mean, with how many points have each."""
    if shown.groups is None:
        return ""
    counts = Counter(shown.groups)
    swatch = '<svg viewBox="0 0 10 10" aria-hidden="true"><circle class="g{}" cx="5" cy="5" r="5"/></svg>'
    entries = "".join(
        f"<li>{swatch.format(shade)}<bdi>{escape(name, 60) or '(empty)'}</bdi> ({counts[name]:,})</li>"
        for shade, name in enumerate(shown.order)
    )
    return f'\n<ul class="legend">{entries}</ul>'


def _tied(dx: float, wide: float) -> str:
    """Where a label is tied to its point, so that its true width, which the browser knows, does not move it away."""
    if dx <= -wide:
        return f'x="{dx + wide - 2:.1f}" text-anchor="end"'
    if abs(dx + wide / 2) < 0.01:
        return 'x="0" text-anchor="middle"'
    return f'x="{dx + 2:.1f}"'
