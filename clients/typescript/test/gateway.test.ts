import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { toJson } from "@bufbuild/protobuf";

import {
  ChatResponse_State as State,
  ChatResponseSchema,
  Code,
  connect,
  ErrorReason,
  FinishReason,
  foldChat,
  MaestroError,
  text,
  toolCalls,
  user,
  type Client,
  type Settings,
} from "../src/index.js";

const gateway = {
  timeout: 5000,
  skip: process.env["MAESTRO_ADDRESS"] ? false : "no gateway: set MAESTRO_ADDRESS and MAESTRO_KEY",
};

const hello = { messages: [user("Say hello to the world")] };
const stalling = scripted([{ text: "one " }, { stall: true }]);

test("a stream folds to the unary answer", gateway, async (context) => {
  const { chat } = connected(context);
  const streamed = await foldChat(chat.streamChat(hello));
  const whole = await chat.completeChat(hello);
  assert.notEqual(text(streamed), "");
  assert.equal(text(streamed), text(whole));
  assert.equal(streamed.finishReason, FinishReason.STOP);
  assert.ok(streamed.usage && streamed.usage.inputTokens > 0n && streamed.usage.outputTokens > 0n);
});

test("every kind of part folds to the unary answer", gateway, async (context) => {
  const { chat } = connected(context);
  const request = scripted([
    { reasoning: { text: ["It asks ", "for weather."], signature: "c2ln" } },
    { text: ["Let me ", "look ", "☀"] },
    { citation: { title: "almanac" } },
    { warning: { code: "NOTICE", message: "hm" } },
    { tool_calls: [{ id: "c1", name: "a", arguments: { x: 1 } }, { id: "c2", name: "b" }] },
    { finish: { reason: "TOOL_CALLS", word: "tool_use" } },
  ]);
  const streamed = await foldChat(chat.streamChat(request));
  const whole = await chat.completeChat(request);
  for (const answer of [streamed, whole]) { // what two calls never share
    answer.chat = "";
    answer.attempts = [];
    delete answer.createTime;
    delete answer.timing;
    delete answer.providerMetadata;
  }
  assert.deepEqual(toJson(ChatResponseSchema, streamed), toJson(ChatResponseSchema, whole));
  assert.deepEqual(toolCalls(streamed).map(({ name }) => name), ["a", "b"]);
});

test("a failure in mid-stream keeps what came", gateway, async (context) => {
  const { chat } = connected(context);
  const error = await failure(() => foldChat(chat.streamChat(scripted([{ text: "half " }, { cut: true }]))));
  assert.equal(error.code, Code.Unavailable);
  assert.ok(error.because(ErrorReason.STREAM_BROKEN));
  assert.notEqual(error.requestId, "");
  assert.equal(error.partial && text(error.partial), "half ");
  assert.equal(error.partial?.state, State.FAILED);
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
  assert.equal(error.partial && text(error.partial), "one ");
});

function scripted(steps: unknown[]) {
  return { ...hello, providerOptionsJson: { scripted: JSON.stringify(steps) } };
}

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
