/** Address + key -> a client of the gateway: one connection, with the right settings. */

import type { SecureClientSessionOptions } from "node:http2";
import { connect as dial } from "node:net";

import type { DescMessage } from "@bufbuild/protobuf";
import {
  createClient,
  type CallOptions,
  type Client as Stubs,
  type Interceptor,
  type StreamResponse,
  type Transport,
} from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { CapabilityService } from "../gen/maestro/v1/capability_pb.js";
import { ChatService, type ChatEvent } from "../gen/maestro/v1/chat_pb.js";
import { checkKey, defaultKey, parseAddress, type Address, type Environment } from "./address.js";
import { MaestroError } from "./error.js";
import { retry } from "./retry.js";

const MIB = 1024 * 1024;
const DEFAULT_ADDRESS = "127.0.0.1:7070";
const KEEPALIVE = { pingIntervalMs: 30_000, pingTimeoutMs: 10_000, pingIdleConnection: true };

/** Where to connect, and how. What is missing comes from the environment. */
export interface Settings {
  /** host:port, https://host:port or unix:/path, instead of $MAESTRO_ADDRESS. */
  readonly address?: string;
  /** Instead of $MAESTRO_KEY or the key file. */
  readonly key?: string;
  /** Roots or a client certificate; turns TLS on. */
  readonly tls?: Pick<SecureClientSessionOptions, "ca" | "cert" | "key" | "servername">;
  /** Sends key and prompts to another machine readable by all in between. */
  readonly insecure?: boolean;
  /** Added to ours, for example for tracing. */
  readonly interceptors?: readonly Interceptor[];
  readonly environment?: Environment;
}

/** The calls about chats. */
export type Chat = Omit<Stubs<typeof ChatService>, "streamChat"> & {
  /** Leaving the loop cancels the call. */
  streamChat(
    request: Parameters<Stubs<typeof ChatService>["streamChat"]>[0],
    options?: CallOptions,
  ): AsyncGenerator<ChatEvent, void, undefined>;
};

/** One connection to a gateway, opened by the first call. Each failure of its calls is a MaestroError. */
export interface Client {
  readonly chat: Chat;
  readonly capability: Stubs<typeof CapabilityService>;
  /** For services that this client does not carry, such as health. */
  readonly transport: Transport;
  /** Ends every call and the connection; without it the process stays alive. */
  close(): void;
}

/**
 * A client of the gateway at $MAESTRO_ADDRESS (else 127.0.0.1:7070) with the key $MAESTRO_KEY (else, for a gateway on this
 * machine, that of the file `key` in $MAESTRO_HOME or ~/.maestro). Nothing goes to another machine in plaintext, unless
 * `insecure` says so.
 */
export function connect(settings: Settings = {}): Client {
  const environment = settings.environment ?? process.env;
  const address = parseAddress(settings.address || environment["MAESTRO_ADDRESS"] || DEFAULT_ADDRESS);
  const secure = address.tls || settings.tls !== undefined;
  if (!secure && !address.local && !settings.insecure) {
    throw new Error(
      `${address.url} is another machine, and nothing says how to encrypt what is sent there: ` +
        "write https:// before it, or give tls; insecure sends key and prompts readable by all in between",
    );
  }
  const key = checkKey(settings.key ?? defaultKey(address.local, environment));
  const baseUrl = secure ? address.url.replace(/^http:/, "https:") : address.url;
  const sessionManager = new Http2SessionManager(baseUrl, KEEPALIVE, { ...settings.tls, ...socketOf(address) });
  const transport = typed(
    createGrpcTransport({
      baseUrl,
      sessionManager,
      acceptCompression: [], // an event is smaller than what compressing it costs
      readMaxBytes: 64 * MIB,
      writeMaxBytes: 64 * MIB,
      interceptors: [...(settings.interceptors ?? []), retry, bearer(key)],
    }),
  );
  const stubs = createClient(ChatService, transport);
  return {
    chat: { ...stubs, streamChat: (request, options) => closing(stubs.streamChat, request, options) },
    capability: createClient(CapabilityService, transport),
    transport,
    close: () => sessionManager.abort(),
  };
}

function socketOf({ socket }: Address): Pick<SecureClientSessionOptions, "createConnection"> {
  return socket === undefined ? {} : { createConnection: () => dial(socket) };
}

function bearer(key: string): Interceptor {
  return (next) => (request) => {
    if (key) {
      request.header.set("authorization", `Bearer ${key}`);
    }
    return next(request);
  };
}

/** Connect's own stream goes on when its reader has left, and is paid for; this one ends the call. */
async function* closing<Request, Event>(
  call: (request: Request, options: CallOptions) => AsyncIterable<Event>,
  request: Request,
  options: CallOptions = {},
): AsyncGenerator<Event, void, undefined> {
  const left = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, left.signal]) : left.signal;
  try {
    yield* call(request, { ...options, signal });
  } finally {
    left.abort();
  }
}

/** The same transport, with our errors. Outside of its interceptors, since it makes its own error of an ended deadline. */
function typed(transport: Transport): Transport {
  return {
    unary: (...call) => transport.unary(...call).catch(rethrow),
    stream: async (...call) => {
      const response = await transport.stream(...call).catch(rethrow);
      return { ...response, message: typedMessages(response) };
    },
  };
}

async function* typedMessages<I extends DescMessage, O extends DescMessage>({ message }: StreamResponse<I, O>) {
  try {
    yield* message;
  } catch (thrown) {
    rethrow(thrown);
  }
}

function rethrow(thrown: unknown): never {
  throw MaestroError.from(thrown);
}
