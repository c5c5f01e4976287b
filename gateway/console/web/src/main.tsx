// The console of DataOS. Reads in this order: routes.ts (URL <-> screen), shell.tsx (what stands
// around a screen), session/ and api/ (who, and the one way to the server), proof/ (verifying the
// log), parts/ (what screens are made of), screens/.
//
// It asks the public API like any other client. Never here: a decision, a mask, a token within
// reach of a script, a request to another host.
import { createRoot } from "react-dom/client";
import { Shell } from "./shell.tsx";
import { currentTheme, showTheme } from "./theme.ts";
import "./tokens.css";
import "./elements.css";
import "./frame.css";
import "./parts.css";
import "./screens.css";

showTheme(currentTheme());
const app = document.getElementById("app");
if (app !== null) createRoot(app).render(<Shell />);
