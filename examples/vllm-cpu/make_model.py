"""Create a tiny Llama with random weights, a tokenizer and a chat template: a real model to vLLM, nothing to download.

It speaks word salad, but it is loaded, scheduled, sampled and streamed like any other model.
Run it with an interpreter that has vLLM's dependencies (`make demo-vllm` does): `make_model.py DIRECTORY`.
"""

from __future__ import annotations

import argparse
import pydoc_data.topics
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 512
CONTEXT_TOKENS = 32_768
BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def corpus() -> Iterator[str]:
    """English that every Python carries: the language reference behind `help()`, ASCII only so that every token prints."""
    for text in pydoc_data.topics.topics.values():
        yield text.encode("ascii", "ignore").decode("ascii")


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train a BPE tokenizer whose tokens are all printable."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=[UNKNOWN, BEGIN, END], show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        unk_token=UNKNOWN,
        pad_token=END,
        model_max_length=CONTEXT_TOKENS,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_weights(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Write a Llama of about 14 million random weights; heads of 64 because vLLM's CPU attention refuses very small ones."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=CONTEXT_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config).to(torch.bfloat16)


def main() -> None:
    """Write the model into the directory of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="where to write the model")
    directory: Path = parser.parse_args().directory
    tokenizer = make_tokenizer()
    make_weights(tokenizer).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    print(f"wrote {directory}: {VOCABULARY} tokens, context {CONTEXT_TOKENS}")


if __name__ == "__main__":
    main()
