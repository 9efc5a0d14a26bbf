/** Tries again what the gateway calls UNAVAILABLE, as other languages' gRPC does by service config. */

import { setTimeout as wait } from "node:timers/promises";

import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createAsyncIterable } from "@connectrpc/connect/protocol";

const TRIES = 3;
const FIRST_PAUSE_MS = 200;
const PUSHBACK = "grpc-retry-pushback-ms";

/** Three tries on UNAVAILABLE, until the answer has begun; within the call's deadline, and never against a pushback. */
export const retry: Interceptor = (next) => async (request) => {
  const again = request.stream ? await remember(request.message) : undefined;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await next(request.stream && again ? { ...request, message: again() } : request);
    } catch (error) {
      const pause = pauseBefore(attempt, error);
      if (pause === undefined || request.signal.aborted) {
        throw error;
      }
      await wait(pause, undefined, { signal: request.signal });
    }
  }
};

/** The messages of a request, to send them more than once. No call of the contract streams its request. */
async function remember<T extends DescMessage>(
  messages: AsyncIterable<MessageShape<T>>,
): Promise<() => AsyncIterable<MessageShape<T>>> {
  const sent: MessageShape<T>[] = [];
  for await (const message of messages) {
    sent.push(message);
  }
  return () => createAsyncIterable(sent);
}

/** How many milliseconds to wait before the next try; undefined when there is none. */
export function pauseBefore(attempt: number, error: unknown): number | undefined {
  if (!(error instanceof ConnectError) || error.code !== Code.Unavailable || attempt >= TRIES) {
    return undefined;
  }
  const pushback = error.metadata.get(PUSHBACK);
  if (pushback !== null) {
    return /^\d+$/.test(pushback) ? Number(pushback) : undefined;
  }
  return FIRST_PAUSE_MS * 2 ** (attempt - 1) * (0.8 + 0.4 * Math.random()); // not all clients at once
}
