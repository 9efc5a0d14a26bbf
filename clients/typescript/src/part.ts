/** A part of an answer while it grows; its text is kept in fragments, so that its cost grows with its length alone. */

import { clone, create, mergeFromBinary, toBinary } from "@bufbuild/protobuf";

import type { ChatEvent, ChatResponse, PartStarted, TokenLogprob } from "../gen/maestro/v1/chat_pb.js";
import {
  MessageSchema,
  PartSchema,
  Role,
  ToolExecutor,
  type Message,
  type Part,
  type ToolCall,
} from "../gen/maestro/v1/content_pb.js";

/** One part, from its start event on. */
export class Piece {
  readonly message: number;
  readonly role: Role;
  readonly tokens: TokenLogprob[] = [];
  readonly #part: Part;
  readonly #text: string[];
  readonly #media: Uint8Array[] = [];

  constructor(started: PartStarted) {
    this.message = started.messageIndex;
    this.role = started.role;
    this.#part = started.part ? clone(PartSchema, started.part) : create(PartSchema);
    this.#text = [textOf(this.#part)];
  }

  /** The tool call that this part is, if it is one. */
  get call(): ToolCall | undefined {
    return this.#part.kind.case === "toolCall" ? this.#part.kind.value : undefined;
  }

  add({ event }: ChatEvent): void {
    switch (event.case) {
      case "textDelta":
      case "reasoningDelta":
      case "argumentsDelta":
      case "refusalDelta":
        this.#text.push(event.value);
        break;
      case "mediaDelta":
        this.#media.push(event.value);
        break;
      case "citation":
        this.#part.citations.push(event.value);
        break;
      case "logprobs":
        this.tokens.push(...event.value.tokens);
        break;
      case "partCompleted":
        if (event.value.remainder) {
          mergeFromBinary(PartSchema, this.#part, toBinary(PartSchema, event.value.remainder));
        }
        break;
    }
  }

  /** The part as it is now. Where the text of a kind newer than this client belongs is not known here. */
  settle(): Part {
    const part = clone(PartSchema, this.#part);
    const text = this.#text.join("");
    switch (part.kind.case) {
      case "text":
      case "refusal":
        part.kind.value = text;
        break;
      case "reasoning":
        part.kind.value.text = text;
        break;
      case "toolCall":
        part.kind.value.argumentsJson = text;
        break;
      case "media":
        if (this.#media.length > 0) {
          part.kind.value.source = { case: "data", value: Buffer.concat(this.#media) };
        }
        break;
    }
    return part;
  }
}

/** What deltas append to, of whatever kind the part is. */
function textOf({ kind }: Part): string {
  switch (kind.case) {
    case "text":
    case "refusal":
      return kind.value;
    case "reasoning":
      return kind.value.text;
    case "toolCall":
      return kind.value.argumentsJson;
    default:
      return "";
  }
}

/** What a user says, as a message. */
export function user(text: string): Message {
  return create(MessageSchema, { role: Role.USER, parts: [{ kind: { case: "text", value: text } }] });
}

/** What the model said in the last message of an answer. */
export function text(response: ChatResponse): string {
  const parts = response.messages.at(-1)?.parts ?? [];
  return parts.map(({ kind }) => (kind.case === "text" ? kind.value : "")).join("");
}

/** The tool calls that the caller is to run before the model can go on. */
export function toolCalls(response: ChatResponse): ToolCall[] {
  const parts = response.messages.at(-1)?.parts ?? [];
  const calls = parts.flatMap(({ kind }) => (kind.case === "toolCall" ? [kind.value] : []));
  const ours = [ToolExecutor.UNSPECIFIED, ToolExecutor.CLIENT];
  return calls.filter((call) => ours.includes(call.executor));
}
