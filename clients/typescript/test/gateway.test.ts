import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import {
  Code,
  connect,
  ErrorReason,
  FinishReason,
  foldChat,
  MaestroError,
  text,
  user,
  type Client,
  type Settings,
} from "../src/index.js";

const gateway = {
  timeout: 5000,
  skip: process.env["MAESTRO_ADDRESS"] ? false : "no gateway: set MAESTRO_ADDRESS and MAESTRO_KEY",
};

const hello = { messages: [user("Say hello to the world")] };
const stalling = { ...hello, providerOptionsJson: { scripted: '[{"text": "one "}, {"stall": true}]' } };

test("a stream folds to the unary answer", gateway, async (context) => {
  const { chat } = connected(context);
  const streamed = await foldChat(chat.streamChat(hello));
  const whole = await chat.completeChat(hello);
  assert.notEqual(text(streamed), "");
  assert.equal(text(streamed), text(whole));
  assert.equal(streamed.finishReason, FinishReason.STOP);
  assert.ok(streamed.usage && streamed.usage.inputTokens > 0n && streamed.usage.outputTokens > 0n);
});

test("cancelling ends the call, and the gateway lives", gateway, async (context) => {
  const { chat, capability } = connected(context);
  const stop = new AbortController();
  const error = await failure(async () => {
    for await (const { event } of chat.streamChat(stalling, { signal: stop.signal })) {
      if (event.case === "textDelta") {
        stop.abort();
      }
    }
  });
  assert.equal(error.code, Code.Canceled);
  await capability.getServerInfo({});
});

test("an unknown model is a typed error, unary and streamed", gateway, async (context) => {
  const { chat } = connected(context);
  const request = { ...hello, model: "scripted/no-such-model" };
  for (const call of [() => chat.completeChat(request), () => foldChat(chat.streamChat(request))]) {
    const error = await failure(call);
    assert.equal(error.code, Code.NotFound);
    assert.equal(error.reason, "ERROR_REASON_MODEL_NOT_FOUND");
    assert.ok(error.because(ErrorReason.MODEL_NOT_FOUND));
    assert.notEqual(error.requestId, "");
    assert.notEqual(error.context, undefined);
    assert.equal(error.retryable, false);
  }
});

test("a field that breaks its rule is named", gateway, async (context) => {
  const { chat } = connected(context);
  const error = await failure(() => chat.completeChat({ ...hello, generation: { temperature: 9 } }));
  assert.equal(error.code, Code.InvalidArgument);
  assert.deepEqual(error.violations.map(({ field }) => field), ["generation.temperature"]);
});

test("a wrong key is turned away", gateway, async (context) => {
  const { chat } = connected(context, { key: "not-the-key" });
  const error = await failure(() => chat.completeChat(hello));
  assert.equal(error.code, Code.Unauthenticated);
  assert.ok(error.because(ErrorReason.CREDENTIALS_INVALID));
});

test("a deadline ends the call", gateway, async (context) => {
  const { chat } = connected(context);
  const error = await failure(() => foldChat(chat.streamChat(stalling, { timeoutMs: 300 })));
  assert.equal(error.code, Code.DeadlineExceeded);
});

function connected(context: TestContext, settings: Settings = {}): Client {
  const client = connect(settings);
  context.after(() => client.close());
  return client;
}

async function failure(call: () => Promise<unknown>): Promise<MaestroError> {
  const error = await call().then(() => assert.fail("it went well"), (thrown: unknown) => thrown);
  assert.ok(error instanceof MaestroError, String(error));
  return error;
}
