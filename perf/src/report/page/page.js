'use strict';
// Draws the plots from the reports that the page carries. One run shows its own lines, several one line each.
const data = JSON.parse(document.getElementById('data').textContent);
const runs = data.reports || [{ name: '', report: data }];
const several = runs.length > 1;
const color = n => `var(--s${n % 6})`;
const escape = text => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);

function number(value) {
  const size = Math.abs(value);
  for (const [unit, letter] of [[1e9, 'G'], [1e6, 'M'], [1e4, 'k']])
    if (size >= unit) { const by = letter === 'k' ? 1e3 : unit; return trim(value / by, 3) + ' ' + letter; }
  return size >= 1000 ? Math.round(value).toLocaleString('en') : trim(value, 3);
}
const trim = (value, digits) => String(Number(value.toPrecision(digits)));
const percent = p => `${Number(p.toPrecision(8))} %`;
const seconds = s => `${trim(s, 3)} s`;

// Round places for ticks: 1, 2 or 5 times a power of ten apart.
function ticks(max, count) {
  const raw = max / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= raw * 0.999);
  return Array.from({ length: Math.floor(max / step + 1.001) }, (_, n) => Number((n * step).toPrecision(12)));
}

// A scale from values to 0..1 with its ticks; `values` are all that has to fit.
function scale(values, log, count) {
  const top = Math.max(...values, 0);
  if (!log || top <= 0) {
    const places = ticks(top > 0 ? top * 1.1 : 1, count), max = Math.max(top * 1.1, places[places.length - 1]) || 1;
    return { at: v => v / max, places };
  }
  const least = Math.min(...values.filter(v => v > 0));
  const low = Math.floor(Math.log10(least)), high = Math.max(Math.ceil(Math.log10(top)), low + 1);
  const every = Math.ceil((high - low) / count);
  const places = Array.from({ length: high - low + 1 }, (_, n) => 10 ** (low + n)).filter((_, n) => n % every === 0);
  return { at: v => (Math.log10(Math.max(v, 10 ** low)) - low) / (high - low), places };
}

// spec: lines [{name, color, dash, area, step, points [[x, y]]}], x {max, places [[x, text]], label, text}, y {text, label, log},
// bands [[from, to, name]], limits [[y, name]].
function draw(figure, spec) {
  const lines = spec.lines.filter(line => line.points.length > 0);
  if (lines.length === 0) { figure.innerHTML = `<p class="none">${escape(spec.none || 'nothing was recorded')}</p>`; return; }
  const width = Math.max(figure.clientWidth, 240), height = spec.height || (width < 480 ? 210 : 260);
  const limits = spec.limits || [];
  const shown = limits.filter(([y]) => y <= 3 * Math.max(...lines.flatMap(line => line.points.map(p => p[1]))));
  const y = scale([...lines.flatMap(line => line.points.map(p => p[1])), ...shown.map(([at]) => at)], spec.y.log, Math.round(height / 55));
  const labels = y.places.map(spec.y.text);
  const left = 12 + 6.4 * Math.max(...labels.map(text => text.length)), right = 14, top = 16, bottom = spec.x.label ? 34 : 22;
  const px = x => left + (width - left - right) * x / spec.x.max;
  const py = value => top + (height - top - bottom) * (1 - y.at(value));
  const fixed = n => n.toFixed(1);
  let svg = '';
  for (const [from, to, name] of spec.bands || []) {
    if (to <= from || from >= spec.x.max) continue;
    const x0 = px(from), x1 = px(Math.min(to, spec.x.max));
    svg += `<rect class="band" x="${fixed(x0)}" y="${top}" width="${fixed(x1 - x0)}" height="${height - top - bottom}"/>`;
    if (x1 - x0 > 6 * name.length + 4) svg += `<text class="band-name" x="${fixed(x0 + 4)}" y="${top + 11}">${name}</text>`;
  }
  y.places.forEach((place, n) => {
    svg += `<line class="grid" x1="${left}" x2="${width - right}" y1="${fixed(py(place))}" y2="${fixed(py(place))}"/>`
      + `<text x="${left - 6}" y="${fixed(py(place) + 4)}" text-anchor="end">${labels[n]}</text>`;
  });
  let after = -Infinity;
  for (const [place, text] of spec.x.places) {
    const x = px(place), wide = 6.2 * text.length + 8;
    svg += `<line class="grid" x1="${fixed(x)}" x2="${fixed(x)}" y1="${top}" y2="${height - bottom}"/>`;
    if (x - wide / 2 < after || x + wide / 2 > width + 10) continue;
    after = x + wide / 2;
    svg += `<text x="${fixed(x)}" y="${height - bottom + 15}" text-anchor="middle">${text}</text>`;
  }
  svg += `<line class="axis" x1="${left}" x2="${width - right}" y1="${height - bottom}" y2="${height - bottom}"/>`
    + `<text x="0" y="${top - 7}">${spec.y.label}</text>`;
  if (spec.x.label) svg += `<text x="${width - right}" y="${height - 3}" text-anchor="end">${spec.x.label}</text>`;
  for (const [at, name] of shown)
    svg += `<line class="limit" x1="${left}" x2="${width - right}" y1="${fixed(py(at))}" y2="${fixed(py(at))}"/>`
      + `<text class="limit-name" x="${width - right}" y="${fixed(py(at) - 4)}" text-anchor="end">${escape(name)}</text>`;
  for (const line of lines) {
    const path = line.points.map(([x, value], n) => {
      const across = line.step && n > 0 ? `L${fixed(px(x))} ${fixed(py(line.points[n - 1][1]))}` : '';
      return `${across}${n ? 'L' : 'M'}${fixed(px(x))} ${fixed(py(value))}`;
    }).join('');
    const first = line.points[0][0], last = line.points[line.points.length - 1][0];
    if (line.area) svg += `<path class="area" style="fill:${line.color}" d="${path}L${fixed(px(last))} ${height - bottom}L${fixed(px(first))} ${height - bottom}Z"/>`;
    svg += line.points.length > 1 ? `<path class="curve" style="stroke:${line.color}" stroke-dasharray="${line.dash || ''}" d="${path}"/>`
      : `<circle r="3" style="fill:${line.color}" cx="${fixed(px(first))}" cy="${fixed(py(line.points[0][1]))}"/>`;
  }
  const legend = lines.length > 1 || several ? `<ul class="legend">${lines.map(line => `<li><svg viewBox="0 0 18 8" aria-hidden="true">`
    + `<path class="curve" style="stroke:${line.color}" stroke-dasharray="${line.dash || ''}" d="M1 4H17"/></svg>${escape(line.name)}</li>`).join('')}</ul>` : '';
  figure.innerHTML = `${legend}<svg viewBox="0 0 ${width} ${height}" height="${height}" role="img" aria-label="${escape(figure.dataset.name)}">`
    + `${svg}<line class="cursor" visibility="hidden" y1="${top}" y2="${height - bottom}"/></svg><div class="tip" hidden></div>`;
  point(figure, spec, lines, px, width, left, right);
}

// The values under the pointer.
function point(figure, spec, lines, px, width, left, right) {
  const svg = figure.querySelector(':scope > svg'), tip = figure.querySelector('.tip'), cursor = figure.querySelector('.cursor');
  const xs = [...new Set(lines.flatMap(line => line.points.map(p => p[0])))].sort((a, b) => a - b);
  const nearest = (list, x, of) => list.reduce((best, one) => Math.abs(of(one) - x) < Math.abs(of(best) - x) ? one : best);
  svg.onpointerleave = () => { tip.hidden = true; cursor.setAttribute('visibility', 'hidden'); };
  svg.onpointermove = event => {
    const box = svg.getBoundingClientRect(), at = (event.clientX - box.left) * width / box.width;
    const x = nearest(xs, (at - left) / (width - left - right) * spec.x.max, one => one);
    const reach = 0.02 * spec.x.max + (spec.reach || 0);
    const rows = lines.map(line => [line, nearest(line.points, x, p => p[0])]).filter(([, p]) => Math.abs(p[0] - x) <= reach);
    tip.innerHTML = `<b>${spec.x.text(x)}</b><table>${rows.map(([line, p]) =>
      `<tr><td><i style="background:${line.color}"></i>${escape(line.name)}</td><td>${spec.y.text(p[1])} ${spec.y.unit || ''}</td></tr>`).join('')}</table>`;
    tip.hidden = false;
    cursor.setAttribute('visibility', 'visible');
    for (const end of ['x1', 'x2']) cursor.setAttribute(end, px(x));
    const side = px(x) * box.width / width;
    tip.style.left = `${Math.max(0, side > box.width / 2 ? side - tip.offsetWidth - 12 : side + 12)}px`;
    tip.style.top = `${svg.offsetTop + 8}px`;
  };
}

// The load's time: warm-up and the rest are shaded where all runs agree.
function time(lines) {
  const series = runs.map(run => run.report.series);
  const max = Math.max(1, ...lines.flatMap(line => line.points.map(p => p[0])));
  const same = key => series.every(s => s[key] === series[0][key]);
  const bands = same('measured_from_s') && same('measured_until_s')
    ? [[0, series[0].measured_from_s, 'warm-up'], [series[0].measured_until_s, Infinity, 'the rest']] : [];
  return { x: { max, places: ticks(max, 8).map(s => [s, seconds(s)]), text: seconds }, bands, reach: Math.max(...series.map(s => s.interval_s)) * 0.6 };
}
const interval = (run, key) => run.report.series.clients.map(p => [p.at_s + run.report.series.interval_s / 2, p[key]]);
// A sample is drawn in the middle of the time it speaks of.
const sampled = (run, of) => run.report.series.samples.map((s, n, all) =>
  [n ? (s.at_s + all[n - 1].at_s) / 2 : Math.max(0, s.at_s - run.report.series.interval_s / 2), of(s)]);
// Lines of one run by name, or of several by run; the first kind of each run is solid, the second dashed.
function lines(kinds) {
  if (!several) return kinds.map(([name, points, style], n) => ({ name, color: color(n), points: points(runs[0]), ...style }));
  const both = kinds.filter(([, , style]) => style && style.both);
  return runs.flatMap((run, n) => both.map(([name, points, style], k) =>
    ({ name: both.length > 1 ? `${run.name} ${name}` : run.name, color: color(n), dash: k ? '2 4' : '', step: style.step, points: points(run) })));
}
const known = points => points.some(p => p[1] > 0) ? points : [];

const plots = {
  percentiles(log) {
    const curve = points => points.map(p => [p.percentile < 100 ? -Math.log10(1 - p.percentile / 100) : Infinity, p.ms, p.count]);
    const flat = points => { // The longest of n stands where one of n is longer.
      const end = points.length ? Math.max(Math.log10(points[points.length - 1][2]), ...points.map(p => p[0]).filter(isFinite)) : 0;
      return points.map(p => [Math.min(p[0], end), p[1]]);
    };
    const of = key => run => flat(curve(run.report.latency[key] || []));
    const all = lines([['all', of('curve'), { both: true, area: true }], ['keyed channels', of('curve_keyed'), { dash: '5 3' }], ['broadcast', of('curve_broadcast'), { dash: '2 3' }]])
      .filter(line => line.points.length);
    const max = Math.max(1, ...all.flatMap(line => line.points.map(p => p[0])));
    const places = [[0, '0 %'], [-Math.log10(0.5), '50 %']];
    for (let nines = 1; nines <= max; nines++) places.push([nines, percent(100 - 10 ** (2 - nines))]);
    const limits = several ? [] : [runs[0].report.plan.demands.p99_ms_max].filter(ms => ms).map(ms => [ms, `p99 at most ${ms} ms`]);
    return { lines: all, height: 320, limits, x: { max, places, text: x => `${percent(100 - 100 * 10 ** -x)} are not longer`, label: '' },
      y: { label: 'ms', unit: 'ms', text: number, log }, none: 'no latency was measured' };
  },
  latency(log) {
    const ls = lines([['p50', run => interval(run, 'p50_ms'), { both: true }], ['p90', run => interval(run, 'p90_ms'), { color: color(2) }],
      ['p99', run => interval(run, 'p99_ms'), { both: true, color: color(1) }], ['longest', run => interval(run, 'max_ms'), { color: 'var(--faint)', dash: '2 3' }]]);
    for (const line of ls) line.points = line.points.filter(p => p[1] > 0);
    return { lines: ls, ...time(ls), y: { label: 'ms', unit: 'ms', text: number, log } };
  },
  throughput() {
    const ls = lines([['received', run => interval(run, 'received_per_second'), { both: true, area: true }],
      ['accepted by sockets', run => known(sampled(run, s => s.deliveries_per_second)), { dash: '3 3' }]]);
    return { lines: ls, ...time(ls), y: { label: '/s', unit: '/s', text: number } };
  },
  sends() {
    const ls = lines([['messages per send', run => known(sampled(run, s => s.messages_per_send)), { both: true }],
      ['messages per receive of a client', run => interval(run, 'messages_per_read'), { dash: '3 3' }]]);
    if (several && ls.every(line => !line.points.length)) ls.forEach((line, n) => { line.points = interval(runs[n], 'messages_per_read'); });
    return { lines: ls, ...time(ls), y: { label: '', text: number } };
  },
  cpu() {
    const sum = parts => Object.values(parts).reduce((a, b) => a + b, 0) * 100;
    const shards = several ? 0 : Math.max(0, ...runs[0].report.series.samples.map(s => s.shards.length));
    const kinds = [['server, all threads', run => known(sampled(run, s => sum(s.threads))), { both: true }]];
    for (let n = 0; n < Math.min(shards, 16); n++) kinds.push([`shard ${n}`, run => sampled(run, s => (s.shards[n] || 0) * 100)]);
    kinds.push(['load generator', run => known(sampled(run, s => sum(s.client_threads))), { color: 'var(--faint)', dash: '4 3' }]);
    if (!several) kinds.push(['stolen by the hypervisor', run => known(sampled(run, s => s.steal_percent)), { color: 'var(--bad)', dash: '2 3' }]);
    const ls = lines(kinds);
    return { lines: ls, ...time(ls), y: { label: '% of a core', unit: '%', text: number }, none: 'no thread was looked at' };
  },
  memory() {
    const mib = bytes => bytes / 2 ** 20;
    const ls = lines([['server', run => known(sampled(run, s => mib(s.resident_bytes))), { both: true }],
      ['TCP buffers of the machine', run => known(sampled(run, s => mib(s.tcp_bytes))), { dash: '3 3' }]]);
    return { lines: ls, ...time(ls), y: { label: 'MiB', unit: 'MiB', text: number }, none: 'the server was not looked at' };
  },
  connect() {
    const ready = run => {
      const ramp = run.report.connections.ramp || { ready: [] }, step = (ramp.interval_ms || 1000) / 1000;
      const each = ramp.ready.length ? ramp.ready : run.report.connections.curve, wide = ramp.ready.length ? step : 1;
      let sum = 0;
      return [[0, 0], ...each.map((count, n) => [(n + 1) * wide, sum += count])];
    };
    const ls = lines([['ready', ready, { both: true, area: true }]]);
    const max = Math.max(0.1, ...ls.flatMap(line => line.points.map(p => p[0])));
    return { lines: ls, x: { max, places: ticks(max, 6).map(s => [s, seconds(s)]), text: seconds }, y: { label: 'ready', text: number } };
  },
};

const figures = [...document.querySelectorAll('figure[data-plot]')];
function show(figure) {
  const box = document.querySelector(`input[data-for="${figure.dataset.plot}"]`);
  draw(figure, plots[figure.dataset.plot](Boolean(box && box.checked)));
}
const seen = new Map();
const watch = new ResizeObserver(entries => {
  for (const { target } of entries) {
    if (seen.get(target) === target.clientWidth) continue;
    seen.set(target, target.clientWidth);
    show(target);
  }
});
figures.forEach(figure => watch.observe(figure));
for (const box of document.querySelectorAll('input[data-for]'))
  box.onchange = () => show(figures.find(figure => figure.dataset.plot === box.dataset.for));
