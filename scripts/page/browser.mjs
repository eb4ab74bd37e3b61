// What the pages' tests share: the browser, a free port, and what their environment tells.
//
// Environment: URINGCAST the binary, CHROMIUM the browser, SHOTS a folder for screenshots.

import { once } from "node:events";
import { createServer } from "node:net";
import { chromium } from "playwright-core";

export const { URINGCAST, SHOTS } = process.env;

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}
