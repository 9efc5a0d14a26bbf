"""Builds a model of a few hundred kilobytes with random weights: it says nothing, but an engine runs it like any other.

`build_gguf.py FILE`. Run by the Python that has `gguf`, see prepare.sh.
"""

import sys
from pathlib import Path

import gguf
import numpy as np

WIDTH, HEADS, BLOCKS, INNER, CONTEXT = 64, 4, 2, 128, 2048
PRINTABLE = [chr(code) for code in range(0x21, 0x7F)]
CONTROL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{code:02X}>" for code in range(256)]
SPACE = "\u2581"
TOKENS = [*CONTROL, *BYTES, SPACE, *PRINTABLE]
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def build(file: Path) -> None:
    """The whole file. The same each time."""
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(TOKENS))
    writer.add_pooling_type(gguf.PoolingType.MEAN)  # one vector for a text, not one for each token
    vocabulary(writer)
    tensors(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def vocabulary(writer: gguf.GGUFWriter) -> None:
    """Bytes, and the printable letters as themselves."""
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * len(BYTES) + [gguf.TokenType.NORMAL] * (1 + len(PRINTABLE))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(TOKENS)
    writer.add_token_scores([0.0] * len(TOKENS))
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)


def tensors(writer: gguf.GGUFWriter) -> None:
    """Noise; but what is no letter is never the likeliest."""
    dice = np.random.default_rng(7)

    def noise(*shape: int) -> np.ndarray:
        return (dice.standard_normal(shape) * 0.2).astype(np.float32)

    ones = np.ones(WIDTH, dtype=np.float32)
    output = noise(len(TOKENS), WIDTH)
    output[: len(CONTROL) + len(BYTES)] = 0
    writer.add_tensor("token_embd.weight", noise(len(TOKENS), WIDTH))
    writer.add_tensor("output_norm.weight", ones)
    writer.add_tensor("output.weight", output)
    for block in range(BLOCKS):
        writer.add_tensor(f"blk.{block}.attn_norm.weight", ones)
        writer.add_tensor(f"blk.{block}.ffn_norm.weight", ones)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{block}.{name}.weight", noise(WIDTH, WIDTH))
        writer.add_tensor(f"blk.{block}.ffn_gate.weight", noise(INNER, WIDTH))
        writer.add_tensor(f"blk.{block}.ffn_up.weight", noise(INNER, WIDTH))
        writer.add_tensor(f"blk.{block}.ffn_down.weight", noise(WIDTH, INNER))


if __name__ == "__main__":
    build(Path(sys.argv[1]))
