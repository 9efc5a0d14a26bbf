import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import {
  ChatService,
  connect,
  FinishReason,
  foldChat,
  MaestroError,
  text,
  user,
  type ChatEventSchema,
  type Client,
} from "../src/index.js";

type Said = AsyncGenerator<MessageInitShape<typeof ChatEventSchema>>;

const UNAVAILABLE = {
  ":status": 200,
  "content-type": "application/grpc",
  "grpc-status": "14",
  "grpc-message": "later",
  "grpc-retry-pushback-ms": "1",
};

const hello = { messages: [user("hello")] };

test("leaving the loop ends the call", { timeout: 5000 }, async (context) => {
  const ended = new EventEmitter();
  const seen = once(ended, "abort");
  const { chat } = await served(context, async function* (call) {
    yield { sequence: 1, event: { case: "started", value: {} } };
    await once(call.signal, "abort");
    ended.emit("abort");
  });
  for await (const event of chat.streamChat(hello)) {
    assert.equal(event.event.case, "started");
    break;
  }
  await seen;
});

test("a stream that has not begun is tried again, with the key", { timeout: 5000 }, async (context) => {
  const keys: (string | undefined)[] = [];
  const { chat } = await served(context, () => answer("third time"), (request, response) => {
    keys.push(request.headers.authorization);
    const later = keys.length < 3;
    if (later) {
      response.stream.respond(UNAVAILABLE, { endStream: true });
    }
    return later;
  });
  assert.equal(text(await foldChat(chat.streamChat(hello))), "third time");
  assert.deepEqual(keys, ["Bearer k", "Bearer k", "Bearer k"]);
});

test("a stream that has begun is never tried again", { timeout: 5000 }, async (context) => {
  let calls = 0;
  const { chat } = await served(context, async function* () {
    calls += 1;
    yield { sequence: 1, event: { case: "started", value: {} } };
    throw new ConnectError("gone", Code.Unavailable);
  });
  await assert.rejects(foldChat(chat.streamChat(hello)), (error: MaestroError) => error.sentence === "gone");
  assert.equal(calls, 1);
});

async function* answer(value: string): Said {
  yield { sequence: 1, event: { case: "started", value: {} } };
  yield { sequence: 2, event: { case: "partStarted", value: { part: { kind: { case: "text", value: "" } } } } };
  yield { sequence: 3, event: { case: "textDelta", value } };
  yield { sequence: 4, event: { case: "completed", value: { finishReason: FinishReason.STOP } } };
}

/** A client of a server in this process that streams what `stream` says, unless `refuse` has answered already. */
async function served(
  context: TestContext,
  stream: (call: HandlerContext) => Said,
  refuse: (request: Http2ServerRequest, response: Http2ServerResponse) => boolean = () => false,
): Promise<Client> {
  const handle = connectNodeAdapter({
    routes: (router) => router.service(ChatService, { streamChat: (_request, call) => stream(call) }),
  });
  const server = createServer((request, response) => refuse(request, response) || handle(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect({ address: `127.0.0.1:${(server.address() as AddressInfo).port}`, key: "k" });
  context.after(() => {
    client.close();
    server.close();
  });
  return client;
}
