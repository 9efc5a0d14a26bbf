/** A gRPC status -> an error with its reason. */

import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  RequestInfoSchema,
  RetryInfoSchema,
  type BadRequest_FieldViolation,
  type PreconditionFailure_Violation,
} from "../gen/google/rpc/error_details_pb.js";
import type { Status } from "../gen/google/rpc/status_pb.js";
import type { ChatResponse } from "../gen/maestro/v1/chat_pb.js";
import { ErrorContextSchema, ErrorReason, ErrorReasonSchema, type ErrorContext } from "../gen/maestro/v1/error_pb.js";

/** A call that failed: gRPC's code and sentence, and what the gateway added. Bare where its code was never reached. */
export class MaestroError extends Error {
  override readonly name = "MaestroError";
  readonly code: Code;
  /** The sentence for a person, alone. */
  readonly sentence: string;
  /** Full name of an ErrorReason, kept as sent where this client does not know it yet. */
  readonly reason: string;
  /** What varies in the sentence, by documented lowerCamelCase keys. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The fields that break a rule, each with the rule's name. */
  readonly violations: readonly BadRequest_FieldViolation[];
  /** What must hold first, and does not. */
  readonly preconditions: readonly PreconditionFailure_Violation[];
  /** How long to wait before trying again, if the gateway said so. */
  readonly retryDelayMs: number | undefined;
  /** What an operator looks up. */
  readonly requestId: string;
  /** What the gateway knows about the failure, if it said so. */
  readonly context: ErrorContext | undefined;
  /** The answer so far, for a stream that had begun. */
  partial: ChatResponse | undefined;

  constructor(failure: ConnectError) {
    const info = find(failure, ErrorInfoSchema);
    const violations = find(failure, BadRequestSchema)?.fieldViolations ?? [];
    const broken = violations.map((violation) => `; ${violation.field}: ${violation.description}`).join("");
    super(`${info?.reason || Code[failure.code]}: ${failure.rawMessage}${broken}`, { cause: failure });
    this.code = failure.code;
    this.sentence = failure.rawMessage;
    this.reason = info?.reason ?? "";
    this.metadata = info?.metadata ?? {};
    this.violations = violations;
    this.preconditions = find(failure, PreconditionFailureSchema)?.violations ?? [];
    this.retryDelayMs = milliseconds(find(failure, RetryInfoSchema)?.retryDelay);
    this.requestId = find(failure, RequestInfoSchema)?.requestId || failure.metadata.get("x-request-id") || "";
    this.context = find(failure, ErrorContextSchema);
  }

  /** Whether the gateway gave this reason. */
  because(reason: ErrorReason): boolean {
    return this.reason === ErrorReasonSchema.value[reason]?.name;
  }

  /** True when the same call may be sent again as it is. */
  get retryable(): boolean {
    return this.context?.retryable ?? (this.code === Code.Unavailable && !this.because(ErrorReason.STREAM_BROKEN));
  }

  /** Whatever a call has thrown. */
  static from(thrown: unknown): MaestroError {
    return thrown instanceof MaestroError ? thrown : new MaestroError(ConnectError.from(thrown));
  }

  /** A status that came in a message: the end of a stream, or a problem of a plan. */
  static fromStatus(status: Status): MaestroError {
    const failure = new ConnectError(status.message, status.code);
    failure.details = status.details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
      value,
    }));
    return new MaestroError(failure);
  }

  /** A stream that stopped before it had said why, or lost something on the way. */
  static broken(sentence: string): MaestroError {
    const reason = ErrorReasonSchema.value[ErrorReason.STREAM_BROKEN]?.name ?? "";
    const detail = { desc: ErrorInfoSchema, value: { reason } };
    return new MaestroError(new ConnectError(sentence, Code.Unavailable, undefined, [detail]));
  }
}

function find<T extends DescMessage>(failure: ConnectError, kind: T): MessageShape<T> | undefined {
  return failure.findDetails(kind)[0];
}

function milliseconds(delay: { seconds: bigint; nanos: number } | undefined): number | undefined {
  return delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6;
}
