"""Warm-up requests, which a server runs through a model before the first real one.

TensorFlow Serving reads them from `assets.extra/tf_serving_warmup_requests`, a TFRecord file of
`PredictionLog`. Without them the first requests take a second or more, while kernels are
initialized.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from kerasft.data.sources.builtin import iterate_builtin_sample
from kerasft.errors import UserError
from kerasft.export.layout import BATCH_SIZES, MAX_WARMUP_RECORDS, SIGNATURE, WARMUP, input_names
from kerasft.export.signatures import CLASSIFY, EMBED, REGRESS, TOKEN_INPUTS, TOKENS

# Tokens of a request's texts: a query, a sentence, a review.
_NUM_TOKENS = (8, 32, 128)
_SAMPLE_TEXTS = 50


def sample_texts() -> list[bytes]:
    """Returns public texts: the built-in sample's."""
    examples = itertools.islice(iterate_builtin_sample("test"), _SAMPLE_TEXTS)
    return [text.encode() for text, _ in examples]


def write_warmup(
    version: Path,
    model_name: str,
    signatures: Sequence[str],
    preprocessor,
    *,
    has_pairs: bool,
    texts: Sequence[bytes] = (),
    lengths: Sequence[int] = (),
) -> int:
    """Writes the warm-up requests of a version; returns their number.

    Each signature is called in each batch size of the server, with texts of several lengths.

    Args:
        version: The version's folder.
        model_name: The name that it is served under.
        signatures: Names of its signatures.
        preprocessor: Turns texts into the model's inputs.
        has_pairs: Whether an example is a pair of texts.
        texts: UTF-8, source of the requests' words. Anyone who has the model can read them.
            Defaults to the built-in sample.
        lengths: Exact token counts of the requests, padded with full stops. Defaults to about 8, 32
            and 128.

    Raises:
        UserError: If the texts hold no word.
    """
    words = b" ".join(texts or sample_texts()).split()
    if not words:
        raise UserError(
            "The warm-up texts hold no word.",
            received=f"{len(texts)} empty texts",
            expected="texts such as the model will be asked about",
        )
    path = version / WARMUP
    path.parent.mkdir(exist_ok=True)
    count = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        batches = list(_batches(words, preprocessor, has_pairs, lengths))
        for name, columns in itertools.product(signatures, batches):
            writer.write(build_request(name, columns, model_name, preprocessor))
            count += 1
    if count > MAX_WARMUP_RECORDS:
        raise ValueError(f"{count} warm-up requests, where a server takes {MAX_WARMUP_RECORDS}.")
    return count


def _batches(
    words: Sequence[bytes], preprocessor, has_pairs: bool, lengths: Sequence[int]
) -> Iterator[list[list[bytes]]]:
    """Yields the texts of each request: a list per input of the signature."""
    stream = itertools.cycle(words)
    most = preprocessor.sequence_length
    num_columns = len(input_names(has_pairs))
    for num_tokens in lengths or [n for n in _NUM_TOKENS if n <= most] or [most]:
        num_words = max((num_tokens - 1) // num_columns - 1, 1)  # in addition to the special tokens
        for size in BATCH_SIZES:
            columns = [
                [b" ".join(itertools.islice(stream, num_words)) for _ in range(size)]
                for _ in range(num_columns)
            ]
            yield _fit(columns, num_tokens, preprocessor) if lengths else columns


def _fit(columns: list[list[bytes]], num_tokens: int, preprocessor) -> list[list[bytes]]:
    """Returns texts whose longest row has `num_tokens` tokens: cut to fewer, then filled up."""
    while True:
        tokens = preprocessor(*columns)["padding_mask"].numpy().sum(axis=1)
        missing = num_tokens - int(tokens.max())
        if missing >= 0:
            break
        columns = [[_first_half(text) for text in texts] for texts in columns]
    columns[0][tokens.argmax()] += b" ." * missing
    return columns


def _first_half(text: bytes) -> bytes:
    words = text.split()
    return b" ".join(words[: len(words) // 2])


def build_request(
    signature: str, columns: Sequence[Sequence[bytes]], model_name: str, preprocessor
) -> bytes:
    """Returns a serialized `PredictionLog` that calls one signature with a batch of texts.

    `columns` are the texts, and for pairs their second texts; `tokens` needs the `preprocessor`.
    """
    from tensorflow_serving.apis import prediction_log_pb2  # a second of imports, needed only here

    names = input_names(has_pairs=len(columns) == 2)
    log = prediction_log_pb2.PredictionLog()
    if signature in (CLASSIFY, REGRESS):
        part = log.classify_log if signature == CLASSIFY else log.regress_log
        for row in zip(*columns, strict=True):
            part.request.input.example_list.examples.append(
                _example(dict(zip(names, row, strict=True)))
            )
    elif signature in (SIGNATURE, EMBED, TOKENS):
        part = log.predict_log
        if signature == TOKENS:
            tokens = preprocessor(*columns)
            inputs = {name: tokens[name].numpy() for name in TOKEN_INPUTS}
        else:
            inputs = dict(zip(names, columns, strict=True))
        for name, values in inputs.items():
            part.request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    else:
        raise ValueError(f"There is no such signature. Received: {signature!r}.")
    part.request.model_spec.name = model_name
    part.request.model_spec.signature_name = signature
    return log.SerializeToString(deterministic=True)


def _example(texts: Mapping[str, bytes]) -> tf.train.Example:
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))
        for name, text in texts.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features))
