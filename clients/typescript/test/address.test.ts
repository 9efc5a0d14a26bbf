import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Code, ConnectError } from "@connectrpc/connect";

import { defaultKey, parseAddress } from "../src/address.js";
import { connect } from "../src/index.js";
import { pauseBefore } from "../src/retry.js";

test("an address says whether it is this machine", () => {
  const expected: [string, string, boolean, boolean][] = [
    ["127.0.0.1:7070", "http://127.0.0.1:7070", true, false],
    ["localhost", "http://localhost:7070", true, false],
    ["0.0.0.0:7070", "http://127.0.0.1:7070", true, false],
    ["[::1]:7070", "http://[::1]:7070", true, false],
    ["gateway.test:80", "http://gateway.test:80", false, false],
    ["127.gateway.test:7070", "http://127.gateway.test:7070", false, false],
    ["https://gateway.test", "https://gateway.test:443", false, true],
  ];
  for (const [text, url, local, tls] of expected) {
    assert.deepEqual(parseAddress(text), { url, local, tls });
  }
  assert.equal(parseAddress("unix:/run/maestro").socket, "/run/maestro");
  assert.equal(parseAddress("unix:///run/maestro").socket, "/run/maestro");
  for (const text of ["", "https://user:secret@gateway.test", "gateway.test/path", "gateway.test:port", "ftp://x"]) {
    assert.throws(() => parseAddress(text), /no address/, text);
  }
});

test("nothing goes to another machine in plaintext", () => {
  assert.throws(() => connect({ address: "gateway.test:7070", key: "k" }), /another machine/);
  connect({ address: "https://gateway.test", key: "k" }).close();
  connect({ address: "gateway.test:7070", key: "k", insecure: true }).close();
});

test("a key that no header can carry is refused, unshown", () => {
  for (const key of ["line\nbreak", "schlüssel"]) {
    assert.throws(() => connect({ key }), (error: Error) => !error.message.includes(key));
  }
});

test("the key file is for this machine alone", (context) => {
  const home = mkdtempSync(join(tmpdir(), "maestro-"));
  context.after(() => rmSync(home, { recursive: true }));
  assert.equal(defaultKey(true, { MAESTRO_HOME: home }), "");
  writeFileSync(join(home, "key"), "from-file\n");
  assert.equal(defaultKey(true, { MAESTRO_HOME: home }), "from-file");
  assert.equal(defaultKey(false, { MAESTRO_HOME: home }), "");
  assert.equal(defaultKey(true, { MAESTRO_HOME: home, MAESTRO_KEY: "given" }), "given");
});

test("only UNAVAILABLE is tried again, three times at most, and never against a pushback", () => {
  const unavailable = (pushback?: string) =>
    new ConnectError("later", Code.Unavailable, pushback === undefined ? {} : { "grpc-retry-pushback-ms": pushback });
  assert.ok(pauseBefore(1, unavailable())! > 0);
  assert.equal(pauseBefore(2, unavailable("1500")), 1500);
  assert.equal(pauseBefore(1, unavailable("-1")), undefined);
  assert.equal(pauseBefore(3, unavailable()), undefined);
  assert.equal(pauseBefore(1, new ConnectError("wait", Code.ResourceExhausted)), undefined);
});
