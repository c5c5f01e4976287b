import { describe, expect, it } from "vitest";
import { beginning, isOwnPath } from "./session.ts";

describe("signing in with a provider", () => {
  const provider = { name: "corp", title: "Example Corp", path: "/login/corp" };

  it("leads back to where one was, and keeps what is behind # to itself", () => {
    expect(beginning(provider, "/query?rows=100#sql=SELECT+1")).toBe(
      "/login/corp?return=%2Fconsole%2Fquery%3Frows%3D100",
    );
    expect(beginning(provider, "/")).toBe("/login/corp?return=%2Fconsole%2F");
  });

  it("goes on to paths of this server alone", () => {
    expect(["/login/corp/logout", "/"].every(isOwnPath)).toBe(true);
    expect(["//elsewhere", "https://elsewhere", ""].some(isOwnPath)).toBe(false);
  });
});
