// URL <-> screen, one table; each screen is loaded when it is first gone to.
import { lazy, type ComponentType } from "react";

export interface Route {
  pattern: string;
  /** Stands in the navigation under this word. */
  nav?: string;
  screen: ComponentType;
}

export const SIGN_IN = "/sign-in";

export const ROUTES: Route[] = [
  { pattern: "/", nav: "Overview", screen: lazy(() => import("./screens/overview/overview.tsx")) },
  { pattern: "/query", nav: "Query", screen: lazy(() => import("./screens/query/query.tsx")) },
  { pattern: "/audit", nav: "Audit", screen: lazy(() => import("./screens/audit/search.tsx")) },
  { pattern: "/audit/:index", screen: lazy(() => import("./screens/audit/entry.tsx")) },
  { pattern: "/receipt", nav: "Verify", screen: lazy(() => import("./screens/audit/receipt.tsx")) },
];
