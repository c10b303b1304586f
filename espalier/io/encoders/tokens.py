"""From texts to the token ids that a text tower takes: a folder's tokenizer files and OpenAI's CLIP vocabulary."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from espalier.core.errors import EspalierError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILE, CLIP_VOCABULARY = "tokenizer.json", "bpe_simple_vocab_16e6.txt.gz"
CLIP_LENGTH = 77
_CLIP_MERGES = 49152 - 256 - 2
_CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass
class Tokens:
    """Tokenizes to a fixed ``length``, special tokens included: cut on the right, filled up on the right."""

    tokenizer: "Tokenizer"
    length: int

    def encode(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and attention mask, both of shape (n, length), int64."""
        encodings = self.tokenizer.encode_batch(texts)
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        return ids.reshape(len(texts), self.length), mask.reshape(len(texts), self.length)


def tokenizer_file(folder: Path) -> Path | None:
    """Return the file that tells how a folder's text tower cuts texts."""
    return next((folder / name for name in (TOKENIZER_FILE, CLIP_VOCABULARY) if (folder / name).is_file()), None)


def read_tokens(folder: Path, length: int | None = None) -> Tokens:
    """Read a folder's tokenizer: ``tokenizer.json`` (and ``tokenizer_config.json``), or CLIP's vocabulary.

    ``length`` is given where the text tower takes only this many; otherwise it is what the folder says, or 77.
    """
    from tokenizers import Tokenizer

    file = tokenizer_file(folder)
    if file is None:
        raise EspalierError(f"{folder} has a text tower but no tokenizer.", f"Put its {TOKENIZER_FILE} there.")
    try:
        tokenizer = _clip(file) if file.name == CLIP_VOCABULARY else Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exceptions
        raise EspalierError(f"{file} is not a tokenizer: {error}", "Export the model again.") from None
    length = length or _length(folder)
    padding = tokenizer.padding or {}
    token, number = padding.get("pad_token"), padding.get("pad_id")
    if number is None:
        token = _setting(folder, "tokenizer_config.json", "pad_token") or "<|endoftext|>"
        token = token["content"] if isinstance(token, dict) else token
        number = tokenizer.token_to_id(token) if tokenizer.token_to_id(token) is not None else 0
    tokenizer.enable_truncation(length, direction="right")
    tokenizer.enable_padding(direction="right", pad_id=number, pad_token=token or "", length=length)
    return Tokens(tokenizer, length)


def _clip(file: Path) -> "Tokenizer":
    """Build CLIP's tokenizer from its list of merges (openai/CLIP, simple_tokenizer.py: the same ids)."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    with gzip.open(file, "rt", encoding="utf-8") as lines:
        merges = [(pair[0], pair[1]) for line in lines.read().split("\n")[1:] if len(pair := line.split()) == 2]
    merges = merges[:_CLIP_MERGES]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())  # the order of CLIP's vocabulary (GPT-2's table)
    words = [*alphabet, *(letter + "</w>" for letter in alphabet), *map("".join, merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    ids = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(ids, merges, end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_CLIP_WORDS), "removed", invert=True), pre_tokenizers.ByteLevel(False)]
    )
    start, end = ids["<|startoftext|>"], ids["<|endoftext|>"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>",
        special_tokens=[("<|startoftext|>", start), ("<|endoftext|>", end)],
    )
    tokenizer.add_special_tokens([AddedToken("<|startoftext|>"), AddedToken("<|endoftext|>")])
    # OpenAI's code fills up with zeros.
    tokenizer.enable_padding(pad_id=0, pad_token="!", length=CLIP_LENGTH)
    return tokenizer


def _length(folder: Path) -> int:
    """Return the greatest length that the folder's settings name, else CLIP's."""
    stated = _setting(folder, "tokenizer_config.json", "model_max_length")
    if isinstance(stated, int | float) and 0 < stated < 100_000:
        return int(stated)
    text = _setting(folder, "config.json", "text_config")
    positions = text.get("max_position_embeddings") if isinstance(text, dict) else None
    return positions if isinstance(positions, int) else CLIP_LENGTH


def _setting(folder: Path, name: str, key: str) -> Any:
    path = folder / name
    return json.loads(path.read_text(encoding="utf-8")).get(key) if path.is_file() else None
