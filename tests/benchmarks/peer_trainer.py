"""The peer: Hugging Face `Trainer` on PyTorch, with the settings that are fastest on a CPU.

    PEER_VENV/bin/python peer_trainer.py --model FOLDER --examples FILE --max-length 256
        [--batch-size 32] [--micro-batch-size 8] [--bf16] [--evaluate]

Runs in an environment of its own: `pip install torch transformers accelerate`. FILE holds a JSON
object a line, `text` and `label`. Trains on all of them once, grouped by length, with AdamW, linear
decay and clipping as `Trainer` has them, and with `--evaluate` then predicts them. Prints one JSON
object: examples a second of both, the memory at its peak, versions.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import torch
import transformers


def main() -> None:
    """Trains, predicts, prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--examples", required=True, type=Path)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--micro-batch-size", type=int, default=32)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--evaluate", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    transformers.set_seed(1)
    rows = [json.loads(line) for line in arguments.examples.read_text("utf-8").splitlines()]
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    texts = [row["text"] for row in rows]
    encoded = tokenizer(texts, truncation=True, max_length=arguments.max_length)
    examples = [
        {"labels": row["label"]} | {name: column[i] for name, column in encoded.items()}
        for i, row in enumerate(rows)
    ]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        arguments.model, num_labels=len({row["label"] for row in rows})
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = transformers.Trainer(
            model=model,
            args=training_arguments(arguments, folder),
            train_dataset=examples,
            eval_dataset=examples,
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
        )
        trained = trainer.train().metrics
        found = {"examples_per_second": trained["train_samples_per_second"]}
        found["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        if arguments.evaluate:
            start = time.perf_counter()
            trainer.predict(examples)
            found["evaluated_per_second"] = len(examples) / (time.perf_counter() - start)
    found |= {"torch": torch.__version__, "transformers": transformers.__version__}
    print(json.dumps(found))


def training_arguments(arguments: argparse.Namespace, folder: str):
    """Returns the settings of `Trainer`; what is not said here is its default."""
    return transformers.TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=arguments.micro_batch_size,
        gradient_accumulation_steps=arguments.batch_size // arguments.micro_batch_size,
        per_device_eval_batch_size=64,
        num_train_epochs=1,
        train_sampling_strategy="group_by_length",
        bf16=arguments.bf16,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=1,
    )


if __name__ == "__main__":
    main()
