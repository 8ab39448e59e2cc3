"""Tokenizers that know the words of the prompts, each with another way to cut them; at most 64 tokens, as `tiny`."""

import tokenizers
import transformers as hf

# Words with their space before them, as in GPT-2; two tokens hold a newline.
PIECES = {
    "words": r"\n\n|\n| ?\w+|[^\w\s]",
    # The labels have one and two tokens, which is how a pass can serve both.
    "uneven": r"\n\n|\n| nega|tive| ?\w+|[^\w\s]",
    "split": r"\n\n|\n| nega|tive| posi| ?\w+|[^\w\s]",
    # The end of the prompt and the label become one token, so that the prompt is no prefix.
    "joined": r"\n\n|\n|: negative|: positive| ?\w+|[^\w\s]",
}
VOCABULARY = [
    *["<pad>", "<s>", "</s>", "<unk>", "\n", "\n\n", ":", "?", ".", "Review", "Sentiment", "Question", "Answer"],
    *[" negative", " positive", " nega", "tive", " posi", ": negative", ": positive"],
    *[
        "Rome",
        " Rome",
        "The",
        " the",
        " film",
        " Bell",
        " is",
        " in",
        " old",
        " tower",
        " bell",
        " rang",
        " at",
        " noon",
    ],
    *[
        " Where",
        " When",
        " what",
        " Ada",
        " built",
        " it",
        " here",
        " Good",
        " good",
        " bad",
        " fine",
        " poor",
        " very",
    ],
    *[
        " was",
        " not",
        " who",
        " rows",
        " of",
        " stone",
        " river",
        " north",
        " south",
        " east",
        " west",
        " long",
        " day",
    ],
    *[" ago", " man", " saw", " one"],
]


def prompt_tokenizer(pieces: str = "words", bos: bool = False, eos_after: bool = False):
    """0 pads, 1 begins (added where `bos`), 2 ends (added to a text where `eos_after`), 3 is unknown."""
    vocabulary = {word: index for index, word in enumerate(VOCABULARY)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    pattern = tokenizers.Regex(PIECES[pieces])
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Split(pattern, behavior="isolated")
    backend.decoder = tokenizers.decoders.Fuse()
    if bos or eos_after:
        single = " ".join(part for part, wanted in (("<s>", bos), ("$A", True), ("</s>", eos_after)) if wanted)
        backend.post_processor = tokenizers.processors.TemplateProcessing(
            single=single, special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
