// The pages of `uringcast bench --html` and `compare-runs --html` in a real browser: every plot is drawn, in light and dark,
// wide and narrow, and nothing is fetched.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { SHOTS, URINGCAST, freePort, launch } from "./browser.mjs";

const run = promisify(execFile);
let browser, folder;

// A server over a mock broker, and two small runs against it.
async function runs() {
  const [page, clients, admin] = [await freePort(), await freePort(), await freePort()].map((port) => `127.0.0.1:${port}`);
  const flags = ["--page-addr", page, "--lb-addr", clients, "--admin-addr", admin, "--rate", "10", "--for", "120"];
  const demo = spawn(URINGCAST, ["demo", ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    let said = "";
    for await (const part of demo.stdout) {
      said += part;
      if (said.includes("Ctrl-C")) break;
    }
    const brokers = said.match(/brokers +(\S+)/)[1];
    for (const name of ["one", "two"]) {
      const load = ["--producer", "--clients", "50", "--channels", "5", "--per-client", "2", "--rate", "50", "--broadcast-rate", "5"];
      const where = ["--url", `ws://${clients}/ws`, "--brokers", brokers, "--topic-channel", "bench.{key}", "--admin", admin];
      const files = ["--json", join(folder, `${name}.json`), "--html", join(folder, `${name}.html`)];
      await run(URINGCAST, ["bench", ...load, ...where, "--duration", "4s", ...files]);
    }
    const both = ["one", "two"].map((name) => join(folder, `${name}.json`));
    await run(URINGCAST, ["bench", "compare-runs", ...both, "--html", join(folder, "both.html")]);
  } finally {
    demo.kill("SIGKILL");
  }
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "uringcast-report-"));
  await runs();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

for (const name of ["one", "both"]) {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1400, 390]) {
      test(`${name}.html, ${colorScheme}, ${width} wide`, async () => {
        const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
        const [trouble, asked] = [[], []];
        page.on("pageerror", (error) => trouble.push(error.message));
        page.on("console", (message) => message.type() === "error" && trouble.push(message.text()));
        page.on("request", (request) => asked.push(request.url()));
        const url = pathToFileURL(join(folder, `${name}.html`)).href;
        await page.goto(url);
        await page.waitForFunction(() => [...document.querySelectorAll("figure")].every((figure) => figure.innerHTML !== ""));
        for (const plot of await page.$$eval("figure", (all) => all.map((figure) => [figure.dataset.plot, figure.querySelectorAll("svg > .curve").length])))
          assert.ok(plot[1] >= (name === "both" ? 2 : 1), `${plot[0]} has ${plot[1]} lines`);
        const texts = await page.$$eval("figure svg text", (all) => all.map((text) => text.textContent));
        assert.ok(texts.includes("99.9 %") && !texts.some((text) => /NaN|undefined|Infinity/.test(text)), texts.join(" "));
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing sticks out to the right");
        for (const box of await page.$$("input[data-for]")) await box.check();
        const plot = page.locator('figure[data-plot="latency"] > svg');
        await plot.hover();
        const tip = await page.locator('figure[data-plot="latency"] .tip').innerText();
        assert.match(tip, /p50[\s\S]*ms/);
        assert.deepEqual(trouble, []);
        assert.deepEqual(asked, [url]);
        await page.screenshot({ path: join(SHOTS, `report-${name}-${colorScheme}-${width}.png`), fullPage: true });
        await page.close();
      });
    }
  }
}
