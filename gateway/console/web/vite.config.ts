// How the console is built and tested. React is an alias for preact/compat, here and nowhere else:
// without the four lines below the same sources run on React.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { embed } from "./embed.ts";

const root = fileURLToPath(new URL(".", import.meta.url));

export default defineConfig({
  base: "/console/",
  resolve: {
    alias: [
      { find: /^react-dom\/client$/, replacement: "preact/compat/client" },
      { find: /^react\/jsx(-dev)?-runtime$/, replacement: "preact/jsx-runtime" },
      { find: /^react(-dom)?$/, replacement: "preact/compat" },
    ],
  },
  build: {
    // Browsers with light-dark() and Ed25519 in WebCrypto: those of 2025.
    target: ["chrome137", "firefox130", "safari18"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  plugins: [embed(root)],
  test: { include: ["src/**/*.test.ts"] },
});
