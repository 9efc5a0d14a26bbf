"""Neighbouring fragments of the same text, joined into one event."""

from maestro.v1 import chat_pb2

# Characters, or bytes of media. Beyond it a joined event would only make its reader wait.
JOINED_MAX = 32 * 1024


def merge(waiting: chat_pb2.ChatEvent, event: chat_pb2.ChatEvent) -> bool:
    """Join `event` into `waiting`, which comes just before it; False, and nothing changed, where they do not merge."""
    if waiting.part_index != event.part_index:
        return False
    # Read before asked for: an empty string is what an absent arm reads as, and by far the most events are text.
    before = waiting.text_delta
    after = event.text_delta
    if before and after:
        if len(before) + len(after) > JOINED_MAX:
            return False
        waiting.text_delta = before + after
    elif not _join_other(waiting, event):
        return False
    waiting.sequence = event.sequence
    waiting.merged += event.merged + 1
    return True


def _join_other(waiting: chat_pb2.ChatEvent, event: chat_pb2.ChatEvent) -> bool:
    arm = event.WhichOneof("event")
    if arm is None or not waiting.HasField(arm):
        return False
    match arm:
        case "text_delta" | "reasoning_delta" | "arguments_delta" | "refusal_delta":
            text = getattr(waiting, arm) + getattr(event, arm)
            if len(text) > JOINED_MAX:
                return False
            setattr(waiting, arm, text)
        case "media_delta":
            if len(waiting.media_delta) + len(event.media_delta) > JOINED_MAX:
                return False
            waiting.media_delta += event.media_delta
        case _:
            return False
    return True
