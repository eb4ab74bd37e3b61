// The demo's page in a real browser, against the real server: what a person would look at first.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { SHOTS, URINGCAST, freePort, launch } from "./browser.mjs";

let browser, demo, pageUrl, ports;

async function start() {
  const [page, clients, admin] = ports;
  const flags = [`--page-addr=127.0.0.1:${page}`, `--lb-addr=127.0.0.1:${clients}`, `--admin-addr=127.0.0.1:${admin}`, "--for=240"];
  const child = spawn(URINGCAST, ["demo", ...flags], { stdio: ["ignore", "inherit", "inherit"] });
  child.gone = once(child, "exit");
  for (let tries = 0; tries < 150; tries += 1) {
    if (child.exitCode !== null) break;
    if (await fetch(`http://127.0.0.1:${page}/`).then((answer) => answer.ok, () => false)) return child;
    await new Promise((done) => setTimeout(done, 200));
  }
  child.kill("SIGKILL");
  throw new Error("uringcast demo did not serve its page");
}

async function stop(child) {
  child.kill("SIGTERM");
  const [code, signal] = await child.gone;
  assert.equal(signal, null);
  return code;
}

// A page with what went wrong in it, and every address it asked for.
async function open(options = {}) {
  const page = await browser.newPage({ viewport: { width: 1400, height: 860 }, ...options });
  page.trouble = [];
  page.asked = [];
  page.on("pageerror", (error) => page.trouble.push(error.message));
  page.on("request", (request) => page.asked.push(request.url()));
  page.on("websocket", (socket) => page.asked.push(socket.url()));
  await page.goto(pageUrl);
  return page;
}

const seen = (page) => page.evaluate(() => window.uringcast());
const until = (page, condition, timeout = 30_000) => page.waitForFunction(condition, undefined, { timeout });

before(async () => {
  ports = [await freePort(), await freePort(), await freePort()];
  pageUrl = `http://127.0.0.1:${ports[0]}/`;
  demo = await start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  demo?.kill("SIGKILL");
});

test("data arrives, in order, from nowhere but this server", async () => {
  const page = await open();
  await until(page, () => { const s = window.uringcast(); return s.state === "live" && s.symbols >= 20 && s.trades >= 5 && s.scores >= 3; });
  const first = await seen(page);
  await page.waitForTimeout(2000);
  const then = await seen(page);
  assert.ok(then.total > first.total + 50, `${first.total}, two seconds later ${then.total}`);
  assert.equal(then.disorder, 0);
  assert.equal(then.gaps, 0);
  assert.match(await page.textContent("#p50"), /^\d+$/);
  assert.ok(Number((await page.textContent("#rate")).replaceAll(",", "")) > 10);
  assert.ok((await page.locator("#positions code").count()) >= 1, "no positions shown");
  assert.deepEqual(page.trouble, []);
  const hosts = new Set(page.asked.map((url) => new URL(url)).filter((url) => url.protocol !== "data:").map((url) => url.hostname));
  assert.deepEqual([...hosts], ["127.0.0.1"]);
  await page.close();
});

for (const [name, width, height, colorScheme] of [
  ["wide-light", 1400, 860, "light"],
  ["wide-dark", 1400, 860, "dark"],
  ["middle-light", 900, 1100, "light"],
  ["narrow-dark", 390, 1400, "dark"],
]) {
  test(`it fits and is painted: ${name}`, async () => {
    const page = await open({ viewport: { width, height }, colorScheme });
    await until(page, () => window.uringcast().state === "live" && window.uringcast().symbols >= 20);
    await page.waitForTimeout(3000);
    const looks = await page.evaluate(() => ({
      overflow: document.documentElement.scrollWidth - window.innerWidth,
      back: getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).map(Number),
    }));
    await page.screenshot({ path: `${SHOTS}/${name}.png` });
    assert.ok(looks.overflow <= 0, `${looks.overflow} px wider than the window`);
    const light = looks.back.reduce((sum, part) => sum + part, 0) / 3;
    assert.ok(colorScheme === "dark" ? light < 60 : light > 200, `background ${looks.back}`);
    await page.close();
  });
}

test("the filter leaves only what was typed", async () => {
  const page = await open();
  await until(page, () => window.uringcast().symbols >= 20);
  await page.fill("#filter", "btc");
  const symbols = page.locator("#market tr:visible td:first-child");
  // Twenty symbols are there, but which came first is chance.
  await symbols.first().waitFor({ timeout: 30_000 });
  const shown = await symbols.allTextContents();
  assert.ok(shown.length >= 1 && shown.every((symbol) => symbol.toLowerCase().includes("btc")), shown.join(" "));
  await page.close();
});

test("a cut line comes back by itself", async () => {
  const page = await open();
  await until(page, () => window.uringcast().state === "live" && window.uringcast().total > 0);
  await page.click("#disconnect");
  await until(page, () => window.uringcast().state === "lost");
  await until(page, () => window.uringcast().state === "live");
  const { total } = await seen(page);
  await page.waitForFunction((before) => window.uringcast().total > before + 10, total, { timeout: 10_000 });
  assert.equal((await seen(page)).disorder, 0);
  assert.deepEqual(page.trouble, []);
  await page.close();
});

test("a server that drains says so, exits with 0, and is found again", async () => {
  const page = await open();
  await until(page, () => window.uringcast().state === "live" && window.uringcast().total > 0);
  assert.equal(await stop(demo), 0);
  await until(page, () => window.uringcast().state !== "live");
  await page.waitForFunction(() => document.querySelector("#log").textContent.includes("draining"), undefined, { timeout: 5000 });
  demo = await start();
  await until(page, () => window.uringcast().state === "live", 40_000);
  const { total } = await seen(page);
  await page.waitForFunction((before) => window.uringcast().total > before + 10, total, { timeout: 10_000 });
  assert.deepEqual(page.trouble, []);
  await page.close();
});
