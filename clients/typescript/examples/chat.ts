/** Prints an answer while it comes, and then what it cost. */

import { Answer, connect, FinishReason, user } from "maestro-client";

const { chat, close } = connect();
try {
  const answer = new Answer();
  for await (const event of chat.streamChat({ messages: [user("Say hello to the world")] })) {
    process.stdout.write(event.event.case === "textDelta" ? event.event.value : "");
    answer.add(event);
  }
  answer.end();
  const { finishReason, usage } = answer.response();
  console.log(`\n${FinishReason[finishReason]}, ${usage?.totalTokens} tokens`);
} finally {
  close();
}
