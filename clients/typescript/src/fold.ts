/** Events -> ChatResponse: the answer that a stream of them tells. */

import { clone, create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";

import {
  ChatResponse_State as State,
  ChatResponseSchema,
  FinishReason,
  FinishReasonSchema,
  PartLogprobsSchema,
  type ApprovalRequested,
  type AttemptChanged,
  type ChatCompleted,
  type ChatEvent,
  type ChatInterrupted,
  type ChatResponse,
  type ChatStarted,
  type ToolCallUpdate,
} from "../gen/maestro/v1/chat_pb.js";
import type { Attempt, Usage } from "../gen/maestro/v1/common_pb.js";
import { MessageSchema, ToolCallState, type Message } from "../gen/maestro/v1/content_pb.js";
import { MaestroError } from "./error.js";
import { Piece } from "./part.js";

/**
 * Reads a stream to its end and gives what completeChat would have given. A failure, and a stream that stops without an end
 * event, is a MaestroError whose `partial` holds what had been said before it, which was paid for.
 */
export async function foldChat(events: AsyncIterable<ChatEvent>): Promise<ChatResponse> {
  const answer = new Answer();
  try {
    for await (const event of events) {
      answer.add(event);
    }
    answer.end();
  } catch (thrown) {
    const error = MaestroError.from(thrown);
    error.partial = answer.response();
    throw error;
  }
  return answer.response();
}

/** Folds events while one reads them. What is newer than this client is skipped, but its number counts. */
export class Answer {
  readonly #folded = create(ChatResponseSchema, { state: State.RUNNING });
  readonly #pieces = new Map<number, Piece>();
  #approvals: ApprovalRequested[] = [];
  #ended = false;

  /** Takes the next event. Throws at one that does not follow the last: something between them is missing. */
  add(event: ChatEvent): void {
    const due = this.#folded.lastSequence + 1 + event.merged;
    if (event.sequence !== due) {
      throw MaestroError.broken(`event ${event.sequence} came where ${due} was due: part of the answer is lost`);
    }
    if (this.#ended) {
      throw MaestroError.broken(`event ${event.sequence} came after the end`);
    }
    this.#folded.lastSequence = event.sequence;
    this.#take(event);
  }

  /** Throws unless the stream has ended well. */
  end(): void {
    if (this.#folded.error) {
      throw MaestroError.fromStatus(this.#folded.error);
    }
    if (!this.#ended) {
      throw MaestroError.broken(`the stream was cut after event ${this.#folded.lastSequence}`);
    }
  }

  /** The answer so far, in a message of its own; its state is RUNNING until the end event. */
  response(): ChatResponse {
    const response = clone(ChatResponseSchema, this.#folded);
    response.approvals = this.#approvals.map(({ approval }) => approval);
    const messages = new Map<number, Message>();
    for (const [index, piece] of [...this.#pieces].sort(byNumber)) {
      const message = messages.get(piece.message) ?? create(MessageSchema, { role: piece.role });
      messages.set(piece.message, message);
      message.parts.push(piece.settle());
      if (piece.tokens.length > 0) {
        response.logprobs.push(create(PartLogprobsSchema, { partIndex: index, tokens: piece.tokens }));
      }
    }
    response.messages = [...messages].sort(byNumber).map(([, message]) => message);
    return response;
  }

  #take(event: ChatEvent): void {
    const arm = event.event;
    switch (arm.case) {
      case "started":
        return this.#start(arm.value);
      case "partStarted":
        this.#pieces.set(event.partIndex, new Piece(arm.value));
        return;
      case "toolCallUpdate":
        return this.#update(arm.value);
      case "approvalRequested":
        this.#approvals.push(arm.value);
        return;
      case "usage":
        this.#folded.usage = arm.value;
        return;
      case "warning":
        this.#folded.warnings.push(arm.value);
        return;
      case "attemptChanged":
        return this.#change(arm.value);
      case "completed":
        return this.#complete(arm.value);
      case "interrupted":
        return this.#interrupt(arm.value);
      default:
        this.#pieces.get(event.partIndex)?.add(event);
    }
  }

  #start(started: ChatStarted): void {
    this.#folded.chat = started.chat;
    this.#folded.provider = started.provider;
    this.#folded.model = started.model;
    if (started.createTime) {
      this.#folded.createTime = started.createTime;
    }
  }

  #update(news: ToolCallUpdate): void {
    if (news.state === ToolCallState.UNSPECIFIED) {
      return;
    }
    for (const { call } of this.#pieces.values()) {
      if (call?.id === news.toolCallId) {
        call.state = news.state;
      }
    }
    if (news.state !== ToolCallState.AWAITING_APPROVAL) {
      this.#settleApprovals(news.toolCallId);
    }
  }

  #settleApprovals(call: string): void {
    this.#approvals = this.#approvals.filter(({ toolCallId }) => toolCallId !== call);
  }

  /** Forgets what one target said and another will say again. */
  #change(changed: AttemptChanged): void {
    this.#folded.provider = changed.provider || this.#folded.provider;
    this.#folded.model = changed.model || this.#folded.model;
    if (changed.failed) {
      this.#folded.attempts.push(changed.failed);
    }
    for (const [index, { call }] of this.#pieces) {
      if (changed.discard && index >= changed.discardFromPart) {
        this.#pieces.delete(index);
        if (call?.id) {
          this.#settleApprovals(call.id);
        }
      }
    }
  }

  #complete(end: ChatCompleted): void {
    this.#ended = true;
    const known = FinishReasonSchema.value[end.finishReason] !== undefined;
    this.#folded.finishReason = known ? end.finishReason : FinishReason.OTHER;
    this.#folded.providerFinishReason = end.providerFinishReason;
    this.#folded.stopSequence = end.stopSequence;
    this.#folded.state = end.state || stateAfter(end.finishReason);
    if (end.timing) {
      this.#folded.timing = end.timing;
    }
    if (end.providerMetadata) {
      this.#folded.providerMetadata = end.providerMetadata;
    }
    this.#bill(end.usage, end.attempts);
  }

  #interrupt(end: ChatInterrupted): void {
    this.#ended = true;
    const stopped = (end.error?.code as Code | undefined) === Code.Canceled;
    this.#folded.finishReason = stopped ? FinishReason.CANCELLED : FinishReason.ERROR;
    this.#folded.state = stopped ? State.CANCELLED : State.FAILED;
    if (end.error) {
      this.#folded.error = end.error;
    }
    this.#bill(end.usage, end.attempts);
  }

  /** The end event has the totals and the whole trail, of which attemptChanged told a part on the way. */
  #bill(usage: Usage | undefined, attempts: Attempt[]): void {
    if (usage) {
      this.#folded.usage = usage;
    }
    if (attempts.length > 0) {
      this.#folded.attempts = attempts;
    }
  }
}

function stateAfter(finish: FinishReason): State {
  switch (finish) {
    case FinishReason.TOOL_CALLS:
      return State.AWAITING_TOOLS;
    case FinishReason.AWAITING_APPROVAL:
      return State.AWAITING_APPROVAL;
    default:
      return State.SUCCEEDED;
  }
}

function byNumber([one]: [number, unknown], [other]: [number, unknown]): number {
  return one - other;
}
