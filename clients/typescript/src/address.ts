/** Where the gateway is, whether what is said to it stays on this machine, and with which key. */

import { readFileSync } from "node:fs";
import { isIPv4, isIPv6 } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";

export type Environment = Readonly<Record<string, string | undefined>>;

/** An address as Node dials it: a URL, or a Unix socket. `local` is true for loopback and sockets alone. */
export interface Address {
  readonly url: string;
  readonly local: boolean;
  readonly tls: boolean;
  readonly socket?: string;
}

/** Reads host:port, https://host:port or unix:/path. */
export function parseAddress(text: string): Address {
  if (text.startsWith("unix:")) {
    const socket = text.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
    return { url: "http://localhost", local: true, tls: false, socket };
  }
  const url = readUrl(text.includes("://") ? text : `http://${text}`);
  const tls = url.protocol === "https:";
  const { host, local } = dialed(url.hostname);
  // URL leaves out a port that is the scheme's own, so that ":80" has to be read from the text.
  const port = url.port || (tls ? "443" : /:80\/?$/.test(text) ? "80" : "7070");
  return { url: `${url.protocol}//${host}:${port}`, local, tls };
}

function readUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const http = url?.protocol === "http:" || url?.protocol === "https:";
  if (!url || !http || url.pathname !== "/" || url.search || url.username) {
    throw new Error("this is no address; write host:port, https://host:port or unix:/path");
  }
  return url;
}

/** The host to dial, and whether it is this machine. A server's "any address" is reached over loopback. */
function dialed(host: string): { host: string; local: boolean } {
  if (host === "0.0.0.0") {
    return { host: "127.0.0.1", local: true };
  }
  if (host === "[::]") {
    return { host: "[::1]", local: true };
  }
  const bare = host.replace(/^\[|\]$/g, "");
  const loopback = (isIPv4(bare) && bare.startsWith("127.")) || (isIPv6(bare) && bare === "::1");
  return { host, local: loopback || host === "localhost" };
}

/** The key of the environment, else of the file that a gateway on this machine left; never that file for another one. */
export function defaultKey(local: boolean, environment: Environment): string {
  const key = environment["MAESTRO_KEY"]?.trim() ?? "";
  if (key || !local) {
    return key;
  }
  const file = join(environment["MAESTRO_HOME"] || join(homedir(), ".maestro"), "key");
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) {
      return ""; // the gateway says what to do about it
    }
    throw new Error(`cannot read the key in ${file}`, { cause: error });
  }
}

/** Throws at what no header can carry; the error never shows the key. */
export function checkKey(key: string): string {
  if (!/^[ -~]*$/.test(key)) {
    throw new Error("the key holds characters that no header can carry; was it cut or joined?");
  }
  return key;
}
