"""Two tiny chat models of different families, as they lie on the hub: made here, with random weights."""

from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

LLAMA2 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}


def tiny_models(base: Path, folder: Path) -> dict[str, Path]:
    """{"llama": a Llama with Llama 2's chat template, "qwen2": a Qwen2 with ChatML}, over the base's tokenizer."""
    llama = AutoTokenizer.from_pretrained(base)
    llama.chat_template = LLAMA2
    qwen = AutoTokenizer.from_pretrained(base)
    qwen.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    qwen.chat_template = CHATML
    qwen.eos_token = "<|im_end|>"
    networks = {
        "llama": LlamaForCausalLM(LlamaConfig(vocab_size=len(llama), eos_token_id=llama.eos_token_id, **SHAPE)),
        "qwen2": Qwen2ForCausalLM(Qwen2Config(vocab_size=len(qwen), eos_token_id=qwen.eos_token_id, **SHAPE)),
    }
    folders = {}
    for name, tokenizer in (("llama", llama), ("qwen2", qwen)):
        torch.manual_seed(len(name))
        for weight in networks[name].parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.5)
        folders[name] = folder / name
        networks[name].save_pretrained(folders[name])
        tokenizer.save_pretrained(folders[name])
    return folders
