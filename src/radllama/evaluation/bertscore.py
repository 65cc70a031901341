"""BERTScore (Zhang et al. 2020) from a model folder on this machine: F1, without baseline rescaling."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radllama.console import note
from radllama.errors import InputError
from radllama.evaluation.scorers import Pair


class BertScore:
    """A scorer of the package bert-score over any encoder's folder.

    `layer` is the one whose vectors are compared. bert-score knows the best one of the encoders it was tuned on by
    their hub names; for another folder it is the last one unless said otherwise, and scores of different layers or
    models are not comparable. BERTScore hardly sees a flipped negation (0.89 for one): read it beside the rest.
    """

    title = "BERTScore"

    def __init__(self, folder: Path, layer: int | None = None) -> None:
        """Raises InputError when the folder holds no encoder, or bert-score is not installed."""
        if not (folder / "config.json").is_file():
            raise InputError(
                f"{folder}: no encoder (it has no config.json); give the folder of a BERT with its weights"
            )
        try:
            from bert_score import BERTScorer
            from bert_score.utils import model2layers
        except ImportError:
            raise InputError("BERTScore needs the package bert-score: pip install 'radllama[bertscore]'") from None
        from transformers import AutoConfig

        layers = AutoConfig.from_pretrained(folder).num_hidden_layers
        layer = layer or model2layers.get(folder.name) or layers
        if not 1 <= layer <= layers:
            raise InputError(f"{folder}: has layers 1 to {layers}, not {layer}")
        try:
            # It talks on standard output, which belongs to results.
            with contextlib.redirect_stdout(io.StringIO()):
                self._scorer: Any = BERTScorer(model_type=str(folder), num_layers=layer)
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: cannot be loaded as an encoder ({str(error).splitlines()[0]})") from None
        self.layer = layer

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """See `Scorer`. What is longer than the encoder's context is counted on standard error: its end is unread."""
        tokenizer, context = self._scorer._tokenizer, self._scorer._model.config.max_position_embeddings
        # A tokenizer saved without its limit says 10^30, which its own code cannot count to. RoBERTa's positions
        # begin behind the padding's, so two of them hold no token.
        tokenizer.model_max_length = min(tokenizer.model_max_length, context - 2)
        texts = {text for pair in pairs for text in pair}
        long = sum(len(tokenizer.encode(text)) > tokenizer.model_max_length for text in texts)
        if long:
            note(
                f"{self.title}: {long} texts are longer than {tokenizer.model_max_length} tokens; their ends are unread"
            )
        _, _, f1 = self._scorer.score([draft for _, draft in pairs], [reference for reference, _ in pairs])
        return [float(value) for value in f1]
