// Drives the console of a running server in a real browser, as one user, through every page:
//
//   npm run e2e -- --url https://127.0.0.1:8443 --user auditor --password P [--shots FOLDER]
//       [--must overview,audit,query,proof] [--sql "SELECT .."] [--provider TITLE]
//       [--browser /usr/bin/chromium]
//
// A page that the user may not see must say why; `--must` names those that must be shown. Fails on a
// violation of the Content-Security-Policy, an error on the browser's console, a request to another
// host, or an axe-core finding, in light, dark and narrow. Prints one line for each step.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    user: { type: "string" },
    password: { type: "string" },
    shots: { type: "string" },
    must: { type: "string", default: "" },
    sql: { type: "string" },
    provider: { type: "string" },
    browser: { type: "string", default: "/usr/bin/chromium" },
  },
});
for (const name of ["url", "user", "password"]) {
  if (!options[name]) fail(`--${name} is missing; the head of e2e/run.mjs shows the options`);
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const MODES = {
  light: { colorScheme: "light", width: 1360, height: 860 },
  dark: { colorScheme: "dark", width: 1360, height: 860 },
  narrow: { colorScheme: "light", width: 320, height: 720 },
};
// Generous: a debug server and a browser share two cores with other tests.
const WAIT_MS = 60_000;

const must = new Set(options.must.split(",").filter(Boolean));
const origin = new URL(options.url).origin;
const console_ = `${origin}/console`;
const problems = [];
let step = "start";

const isRoot = process.getuid?.() === 0;
const browser = await chromium.launch({ executablePath: options.browser, args: isRoot ? ["--no-sandbox"] : [] });
try {
  await main();
} catch (error) {
  problems.push(`${step}: ${error.stack ?? error}`);
}
await browser.close();
for (const problem of problems) console.log(`FAILED ${problem}`);
console.log(problems.length === 0 ? "console: all checks held" : `console: ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;

async function main() {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: MODES.light, reducedMotion: "reduce" });
  context.setDefaultTimeout(WAIT_MS);
  await watch(context);
  const page = await context.newPage();

  await signIn(page);
  for (const part of [overview, query, audit, receipt, expiry]) {
    try {
      await part(page, context);
    } catch (error) {
      // The parts do not build on one another: one that fails hides nothing of the next.
      problems.push(`${step}: ${error.stack ?? error}`);
    }
  }
}

/** Everything that must not happen on any page. */
async function watch(context) {
  await context.exposeBinding("dataosViolation", (_source, text) => problems.push(`${step}: CSP: ${text}`));
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      window.dataosViolation(`${event.effectiveDirective} blocked ${event.blockedURI} ${event.sample} at ${event.sourceFile}`);
    });
  });
  context.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith("data:")) problems.push(`${step}: request to another host: ${url}`);
  });
  context.on("weberror", (error) => problems.push(`${step}: exception: ${error.error()}`));
  context.on("console", (message) => {
    // A refused call is an answer, which the page shows; the browser reports it as an error too.
    const isAnswer = /^Failed to load resource: .*status of (401|403|404|400|422|503)/.test(message.text());
    if (message.type() === "error" && !isAnswer) problems.push(`${step}: console: ${message.text()}`);
  });
}

async function signIn(page) {
  begin("sign-in");
  await page.goto(`${console_}/query`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  if (options.provider) {
    const begin = page.getByRole("link", { name: `Sign in with ${options.provider}` });
    const path = await begin.getAttribute("href");
    if (!path.endsWith(`?return=${encodeURIComponent("/console/query")}`)) throw new Error(`the provider is at ${path}`);
  }
  await look(page, "sign-in");
  await page.getByLabel("User").fill(options.user);
  await page.getByLabel("Password").fill(`${options.password}-wrong`);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").waitFor();
  await page.getByLabel("Password").fill(options.password);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Query", level: 1 }).waitFor();
  done("signed in, and back where the link led");
}

async function overview(page) {
  begin("overview");
  await page.getByRole("navigation", { name: "Screens" }).getByRole("link", { name: "Overview" }).click();
  await isFocused(page, "Overview");
  const shown = await shownOrDenied(page, page.getByRole("region", { name: "Health" }));
  if (shown) {
    const log = () => page.locator(".figures > div", { hasText: "Audit log" }).locator("strong").innerText();
    const before = await log();
    await waitUntil(async () => (await log()) !== before, "the log does not grow while the page polls");
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText("paused").waitFor();
    if (!page.url().includes("refresh=off")) throw new Error("the pause is not in the URL");
    const button = page.getByRole("button", { name: "Resume" });
    if ((await button.getAttribute("aria-pressed")) !== "true") throw new Error("the button does not show that it is pressed");
  }
  await look(page, "overview");
  done(shown ? "live figures, paused" : "denied, with the reason");
}

async function query(page) {
  begin("query");
  await page.getByRole("navigation", { name: "Screens" }).getByRole("link", { name: "Query" }).click();
  await isFocused(page, "Query");
  const editor = page.getByRole("textbox", { name: "SQL statement" });
  await editor.waitFor();
  await editor.click();
  if (options.sql) {
    await page.keyboard.insertText(options.sql);
  } else {
    await page.locator(".tables summary").first().click();
    await page.getByRole("button", { name: "Insert name" }).first().click();
  }
  await page.getByRole("button", { name: "Run" }).click();
  const shown = await shownOrDenied(page, page.getByRole("region", { name: "Policy lens" }));
  if (shown) {
    await page.getByRole("region", { name: "Governed statement" }).waitFor();
    await page.reload();
    const kept = await editor.innerText();
    if (!/select/i.test(kept)) throw new Error("the statement is not in the URL");
    await editor.click();
    await page.keyboard.press("Control+Enter");
    await page.getByRole("region", { name: "Policy lens" }).waitFor();
  }
  await look(page, "query");
  done(shown ? "result and policy lens" : "denied, with the reason");

  begin("query-error");
  await editor.click();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText("SELECT 1,\n  nope FROM nowhere_at_all");
  await page.keyboard.press("Control+Enter");
  await page.locator(".problem").waitFor();
  await look(page, "query-error");
  done(await page.locator(".problem").first().innerText().then((text) => text.split("\n")[0]));

  begin("editor by keyboard");
  await editor.click();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Tab");
  const left = await page.evaluate(() => document.activeElement?.shadowRoot === null);
  if (!left) throw new Error("Escape, then Tab does not leave the editor");
  done("Escape, then Tab leaves it");
}

async function audit(page) {
  begin("audit");
  await page.getByRole("navigation", { name: "Screens" }).getByRole("link", { name: "Audit" }).click();
  await isFocused(page, "Audit");
  const table = page.getByRole("table", { name: "Audit entries" });
  const shown = await shownOrDenied(page, table);
  await look(page, "audit");
  if (!shown) return done("denied, with the reason");

  await page.getByLabel("Effect").selectOption("allow");
  await page.waitForURL(/effect=allow/);
  await page.getByRole("link", { name: /effect: allow/ }).waitFor();
  await page.reload();
  await table.waitFor();
  if ((await page.getByLabel("Effect").inputValue()) !== "allow") throw new Error("a reload loses the filter");
  const older = page.getByRole("link", { name: "Older" });
  if (await older.isVisible()) {
    await older.click();
    await page.waitForURL(/before=/);
    await page.goBack();
    await page.waitForURL((url) => !url.href.includes("before="));
  }
  done("filtered, paged, back");

  begin("audit-live");
  const live = page.getByRole("button", { name: "Live" });
  await live.click();
  await page.getByText("Live: entries appear").waitFor();
  const newest = () => table.getByRole("row").nth(1).getByRole("link").first().innerText();
  const before = await newest();
  await page.evaluate(() => fetch("/api/v1/session"));
  await page.waitForFunction((before) => {
    const link = document.querySelector("table.entries tbody a");
    return link !== null && link.textContent !== before;
  }, before);
  await look(page, "audit-live");
  await live.click();
  await table.waitFor();
  done("a new entry came by itself");

  begin("audit-entry");
  await table.getByRole("row").nth(1).getByRole("link").click();
  await page.getByRole("button", { name: "Verify in this browser" }).click();
  const verified = await shownOrDenied(page, page.locator(".verdict"), "proof");
  if (verified) await page.getByText("The path, hash by hash").click();
  await look(page, "audit-entry");
  if (verified) {
    const words = await page.locator(".verdict").innerText();
    if (!/^\S+ Verified/.test(words)) throw new Error(words);
  }
  done(verified ? "proof verified" : "proof denied, with the reason");
}

async function receipt(page) {
  begin("receipt");
  // The receipt of whatever the server says to this user now, be it a denial.
  const text = await page.evaluate(async () => (await fetch("/api/v1/session")).headers.get("DataOS-Receipt"));
  if (!text) throw new Error("GET /api/v1/session carries no receipt");
  await page.getByRole("navigation", { name: "Screens" }).getByRole("link", { name: "Verify" }).click();
  await isFocused(page, "Verify a receipt");
  await page.getByLabel("Receipt").fill(text);
  await page.getByRole("button", { name: "Verify" }).click();
  await page.locator(".verdict.good").waitFor();
  await look(page, "receipt");
  const at = text.length - 10;
  const changed = text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
  await page.getByLabel("Receipt").fill(changed);
  await page.getByRole("button", { name: "Verify" }).click();
  await page.locator(".verdict.bad").waitFor();
  await look(page, "receipt-changed");
  done("a receipt verifies, a changed one does not");
}

async function expiry(page, context) {
  begin("expiry");
  const there = `${console_}/query?rows=100#sql=SELECT+1`;
  await page.goto(there);
  await page.getByRole("heading", { name: "Query", level: 1 }).waitFor();
  await context.clearCookies();
  await page.getByRole("searchbox", { name: "Search tables" }).fill("a");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await look(page, "session-ended");
  await page.getByLabel("User").fill(options.user);
  await page.getByLabel("Password").fill(options.password);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Query", level: 1 }).waitFor();
  if (page.url() !== there) throw new Error(`came back to ${page.url()}, not to ${there}`);
  await page.locator(".menu summary").click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You are signed out").waitFor();
  done("the session ends, signing in leads back, signing out ends it");
}

/** Waits for `wanted` or for a denial; says which. A denial must carry its reason and request. */
async function shownOrDenied(page, wanted, name = step) {
  const denial = page.locator("main .problem.denied, main .problem.failed").first();
  await wanted.first().or(denial).first().waitFor();
  if (await wanted.first().isVisible()) return true;
  const words = await denial.innerText();
  if (must.has(name)) throw new Error(`must be shown: ${words}`);
  for (const part of ["Reason", "Request"]) {
    if (!words.includes(part)) throw new Error(`the denial does not give its ${part}: ${words}`);
  }
  return false;
}

/** A screenshot and axe-core in each mode. */
async function look(page, name) {
  for (const [mode, { colorScheme, width, height }] of Object.entries(MODES)) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize({ width, height });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) problems.push(`${step}, ${mode}: the page is ${wide} px wider than the window`);
    if (options.shots) {
      mkdirSync(options.shots, { recursive: true });
      await page.screenshot({ path: join(options.shots, `${name}-${mode}.png`), fullPage: true });
    }
    await page.evaluate(axe);
    const { violations } = await page.evaluate((tags) => window.axe.run({ runOnly: tags }), AXE_TAGS);
    for (const { id, help, nodes } of violations) {
      const where = nodes.slice(0, 3).map((node) => `${node.target.join(" ")}: ${node.any[0]?.message ?? node.failureSummary}`);
      problems.push(`${step}, ${name}, ${mode}: axe ${id}: ${help}\n    ${where.join("\n    ")}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  await page.setViewportSize(MODES.light);
}

async function isFocused(page, title) {
  await page.getByRole("heading", { name: title, level: 1 }).waitFor();
  await waitUntil(
    () => page.evaluate((text) => document.activeElement?.tagName === "H1" && document.activeElement.textContent === text, title),
    `the heading "${title}" does not have the focus`,
  );
  if (!(await page.title()).startsWith(title)) throw new Error(`the title is "${await page.title()}"`);
}

async function waitUntil(holds, otherwise) {
  const end = Date.now() + WAIT_MS;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(otherwise);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function begin(name) {
  step = name;
}

function done(what) {
  console.log(`${step}: ${what}`);
}

function fail(text) {
  console.error(text);
  process.exit(2);
}
