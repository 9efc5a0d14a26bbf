import assert from "node:assert/strict";
import { test } from "node:test";

import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

import {
  Answer,
  ChatEventSchema,
  ChatResponse_State as State,
  Code,
  ErrorReason,
  FinishReason,
  foldChat,
  MaestroError,
  Role,
  text,
  toolCalls,
  type ChatEvent,
  type PartSchema,
} from "../src/index.js";

type Said = MessageInitShape<typeof ChatEventSchema>;
type Piece = MessageInitShape<typeof PartSchema>;

const started: Said = { event: { case: "started", value: { chat: "chats/1", provider: "p", model: "first" } } };

test("the fold joins text, reasoning, tool calls and usage", async () => {
  const answer = await foldChat(
    tell(
      started,
      begin(0, { kind: { case: "reasoning", value: {} } }),
      { event: { case: "reasoningDelta", value: "It asks for " } },
      { event: { case: "reasoningDelta", value: "weather." } },
      finish(0, { providerState: { kind: "signature", data: new Uint8Array([1]) } }),
      begin(1, { kind: { case: "text", value: "" } }),
      said(1, "Let me "),
      begin(2, { kind: { case: "toolCall", value: { id: "c1", name: "weather" } } }),
      { partIndex: 2, event: { case: "argumentsDelta", value: '{"city":' } },
      said(1, "look: ☀"),
      { partIndex: 2, event: { case: "argumentsDelta", value: '"Rome"}' } },
      finish(1, { kind: { case: "text", value: "" }, citations: [{ title: "almanac" }] }),
      completed(FinishReason.TOOL_CALLS),
    ),
  );
  assert.equal(answer.messages.length, 1);
  assert.equal(answer.messages[0]?.role, Role.ASSISTANT);
  const [reasoning, spoken] = answer.messages[0].parts;
  assert.equal(reasoning?.kind.case === "reasoning" && reasoning.kind.value.text, "It asks for weather.");
  assert.equal(reasoning?.providerState?.kind, "signature");
  assert.equal(text(answer), "Let me look: ☀");
  assert.equal(spoken?.citations[0]?.title, "almanac");
  assert.deepEqual(
    toolCalls(answer).map(({ name, argumentsJson }) => [name, argumentsJson]),
    [["weather", '{"city":"Rome"}']],
  );
  assert.equal(answer.state, State.AWAITING_TOOLS);
  assert.equal(answer.usage?.outputTokens, 7n);
});

test("an arm newer than this client is skipped, and its number counts", async () => {
  const bytes = new BinaryWriter().tag(999, WireType.LengthDelimited).string("from the future").finish();
  const future = fromBinary(ChatEventSchema, bytes);
  assert.equal(future.event.case, undefined);
  const end = completed(999 as FinishReason);
  const answer = await foldChat(tell(started, begin(0, words), said(0, "a"), future, said(0, "b"), end));
  assert.equal(text(answer), "ab");
  assert.equal(answer.lastSequence, 6);
  assert.equal(answer.finishReason, FinishReason.OTHER);
});

test("merged fragments count as often", async () => {
  const joined = { ...said(0, "abc"), merged: 2 };
  const answer = await foldChat(tell(started, begin(0, words), joined, completed(FinishReason.STOP)));
  assert.equal(text(answer), "abc");
  assert.equal(answer.lastSequence, 6);
});

test("another target takes over", async () => {
  const answer = await foldChat(
    tell(
      started,
      begin(0, words),
      said(0, "forget me"),
      { event: { case: "attemptChanged", value: { discard: true, model: "second" } } },
      begin(0, words),
      said(0, "keep me"),
      completed(FinishReason.STOP),
    ),
  );
  assert.equal(text(answer), "keep me");
  assert.equal(answer.model, "second");
});

test("media comes in pieces", async () => {
  const answer = await foldChat(
    tell(
      started,
      begin(0, { kind: { case: "media", value: { mimeType: "audio/wav" } } }),
      { event: { case: "mediaDelta", value: new Uint8Array([1, 2]) } },
      { event: { case: "mediaDelta", value: new Uint8Array([3]) } },
      finish(0, { kind: { case: "media", value: { transcript: "hm" } } }),
      completed(FinishReason.STOP),
    ),
  );
  const kind = answer.messages[0]?.parts[0]?.kind;
  assert.equal(kind?.case, "media");
  assert.deepEqual([...(kind.value.source.case === "data" ? kind.value.source.value : [])], [1, 2, 3]);
  assert.deepEqual([kind.value.mimeType, kind.value.transcript], ["audio/wav", "hm"]);
});

test("a stream without an end is an error, and keeps what came", async () => {
  const error = await failure(foldChat(tell(started, begin(0, words), said(0, "half"))));
  expectBroken(error);
  assert.equal(error.partial && text(error.partial), "half");
  assert.equal(error.partial?.state, State.RUNNING);
});

test("a hole in the numbers is an error", () => {
  const answer = new Answer();
  answer.add(create(ChatEventSchema, { ...started, sequence: 1 }));
  assert.throws(
    () => answer.add(create(ChatEventSchema, { ...said(0, "b"), sequence: 3 })),
    (error: MaestroError) => error.because(ErrorReason.STREAM_BROKEN),
  );
});

test("an interrupted stream gives its status and its bill", async () => {
  const interrupted: Said = {
    event: {
      case: "interrupted",
      value: { error: { code: Code.Internal, message: "a fault" }, usage: { outputTokens: 2n } },
    },
  };
  const error = await failure(foldChat(tell(started, begin(0, words), said(0, "half"), interrupted)));
  assert.equal(error.code, Code.Internal);
  assert.equal(error.sentence, "a fault");
  assert.equal(error.partial?.state, State.FAILED);
  assert.equal(error.partial.usage?.outputTokens, 2n);
});

const words: Piece = { kind: { case: "text", value: "" } };

/** A stream that says what it was given, numbered as the gateway numbers, through the wire format. */
async function* tell(...events: Said[]): AsyncGenerator<ChatEvent> {
  let sequence = 0;
  for (const event of events) {
    sequence += 1 + (event.merged ?? 0);
    const numbered = create(ChatEventSchema, event);
    numbered.sequence = sequence;
    yield fromBinary(ChatEventSchema, toBinary(ChatEventSchema, numbered));
  }
}

function begin(partIndex: number, part: Piece): Said {
  return { partIndex, event: { case: "partStarted", value: { role: Role.ASSISTANT, part } } };
}

function said(partIndex: number, value: string): Said {
  return { partIndex, event: { case: "textDelta", value } };
}

function finish(partIndex: number, remainder: Piece): Said {
  return { partIndex, event: { case: "partCompleted", value: { remainder } } };
}

function completed(finishReason: FinishReason): Said {
  return { event: { case: "completed", value: { finishReason, usage: { outputTokens: 7n } } } };
}

async function failure(answer: Promise<unknown>): Promise<MaestroError> {
  const error = await answer.then(() => assert.fail("it went well"), (thrown: unknown) => thrown);
  assert.ok(error instanceof MaestroError, String(error));
  return error;
}

function expectBroken(error: MaestroError): void {
  assert.equal(error.code, Code.Unavailable);
  assert.ok(error.because(ErrorReason.STREAM_BROKEN));
  assert.equal(error.retryable, false);
}
