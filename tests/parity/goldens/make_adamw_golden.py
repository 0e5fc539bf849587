"""Makes `adamw_golden.npz`: PyTorch's AdamW over 20 steps, and over repeated token ids.

Run by hand, never by the tests, in an environment of its own (Python 3.11):

    pip install torch==2.13.0 numpy==2.4.6
    python tests/parity/goldens/make_adamw_golden.py

PyTorch adds epsilon after the bias correction of the second moment, Keras and TensorFlow before
it: theirs is the same rule with epsilon * sqrt(1 - beta_2**step) in PyTorch's place. Two controls
are wrong on purpose: decay added to the gradient (`coupled_decay`), and the squares of repeated
tokens summed one by one (`embedding/unsummed_duplicates`).
"""

import json
from pathlib import Path

import numpy as np
import torch

NUM_STEPS, WARMUP_STEPS, PEAK_RATE, DECAY_POWER = 20, 5, 1e-2, 2.0
BETAS, WEIGHT_DECAY, GLOBAL_CLIPNORM = (0.9, 0.999), 0.01, 1.0
SHAPES = {"kernel": (6, 5), "bias": (5,), "gamma": (7,)}
VARIANTS = {  # name: optimizer, epsilon, clipped
    "epsilon_1e-8": (torch.optim.AdamW, 1e-8, False),
    "epsilon_1e-6": (torch.optim.AdamW, 1e-6, False),
    "epsilon_1e-8_clipped": (torch.optim.AdamW, 1e-8, True),
    "epsilon_1e-6_clipped": (torch.optim.AdamW, 1e-6, True),
    "coupled_decay": (torch.optim.Adam, 1e-8, False),
}
EMBEDDING_SHAPE, EMBEDDING_STEPS, EMBEDDING_EPSILON = (11, 4), 5, 1e-8


def learning_rates():
    steps = np.arange(NUM_STEPS)
    warmup = (steps + 1) / WARMUP_STEPS
    decay = (1 - np.maximum(steps - WARMUP_STEPS, 0) / (NUM_STEPS - WARMUP_STEPS)) ** DECAY_POWER
    return PEAK_RATE * np.where(steps < WARMUP_STEPS, warmup, decay)


def build_optimizer(optimizer_class, parameters, epsilon):
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return optimizer_class(groups, lr=PEAK_RATE, betas=BETAS, eps=epsilon, foreach=False)


def apply_step(optimizer, parameters, learning_rate, clipped):
    """Clips if asked, applies, and returns the global norm before clipping."""
    limit = GLOBAL_CLIPNORM if clipped else float("inf")
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
    for group in optimizer.param_groups:
        group["lr"] = float(learning_rate)
    optimizer.step()
    return norm.item()


def run_dense(initial, gradients, variant):
    optimizer_class, epsilon, clipped = VARIANTS[variant]
    parameters = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in initial.items()}
    optimizer = build_optimizer(optimizer_class, list(parameters.values()), epsilon)
    after, norms = {name: [] for name in parameters}, []
    for step, rate in enumerate(learning_rates()):
        for name, parameter in parameters.items():
            parameter.grad = torch.tensor(gradients[name][step])
        norms.append(apply_step(optimizer, list(parameters.values()), rate, clipped))
        for name, parameter in parameters.items():
            after[name].append(parameter.detach().numpy().copy())
    return {name: np.stack(steps) for name, steps in after.items()}, np.float32(norms)


def run_embedding(initial, token_ids, occurrence_gradients, clipped):
    """The gradient comes from autograd: one dense row per id, its occurrences summed."""
    layer = torch.nn.Embedding.from_pretrained(torch.tensor(initial), freeze=False)
    optimizer = build_optimizer(torch.optim.AdamW, [layer.weight], EMBEDDING_EPSILON)
    after, norms, dense = [], [], []
    for step, rate in enumerate(learning_rates()[:EMBEDDING_STEPS]):
        optimizer.zero_grad()
        vectors = layer(torch.tensor(token_ids[step]))
        (vectors * torch.tensor(occurrence_gradients[step])).sum().backward()
        dense.append(layer.weight.grad.numpy().copy())
        norms.append(apply_step(optimizer, [layer.weight], rate, clipped))
        after.append(layer.weight.detach().numpy().copy())
    return np.stack(after), np.float32(norms), np.stack(dense)


def unsummed_duplicates(initial, token_ids, occurrence_gradients):
    """The control: AdamW whose second moment takes each occurrence's square by itself."""
    weights, first, second = (array.astype(np.float64) for array in (initial, *[initial * 0] * 2))
    after = []
    for step, rate in enumerate(learning_rates()[:EMBEDDING_STEPS], start=1):
        first, second = first * BETAS[0], second * BETAS[1]
        ids, gradient = token_ids[step - 1], occurrence_gradients[step - 1]
        np.add.at(first, ids, (1 - BETAS[0]) * gradient)
        np.add.at(second, ids, (1 - BETAS[1]) * gradient**2)
        corrected = np.sqrt(second / (1 - BETAS[1] ** step)) + EMBEDDING_EPSILON
        weights = weights * (1 - rate * WEIGHT_DECAY)
        weights = weights - rate * first / (1 - BETAS[0] ** step) / corrected
        after.append(weights)
    return np.stack(after).astype(np.float32)


def dense_arrays(random):
    initial = {name: random.normal(0, 1, shape) for name, shape in SHAPES.items()}
    # Norms on both sides of the clipping limit; elements small enough for epsilon to matter.
    scale = 10.0 ** random.uniform(-2, 0.5, NUM_STEPS)
    gradients = {}
    for name, shape in SHAPES.items():
        size = 10.0 ** random.uniform(-4, 0, shape)
        by_step = scale.reshape(-1, *[1] * len(shape))
        gradients[name] = (random.normal(0, 1, (NUM_STEPS, *shape)) * size * by_step).astype("f4")
    initial = {name: value.astype(np.float32) for name, value in initial.items()}
    arrays = {f"initial/{name}": value for name, value in initial.items()}
    arrays |= {f"gradients/{name}": value for name, value in gradients.items()}
    for variant in VARIANTS:
        after, norms = run_dense(initial, gradients, variant)
        arrays |= {f"{variant}/{name}": value for name, value in after.items()}
    return arrays | {"gradient_norms": norms}


def embedding_arrays(random):
    initial = random.normal(0, 1, EMBEDDING_SHAPE).astype(np.float32)
    # Three of the eleven ids never come: their rows decay, and move by momentum only if seen.
    token_ids = random.randint(0, EMBEDDING_SHAPE[0] - 3, (EMBEDDING_STEPS, 3, 6))
    token_ids[:, :, 0] = 0  # as [CLS]: once in every row of every batch
    occurrences = random.normal(0, 0.2, (*token_ids.shape, EMBEDDING_SHAPE[1])).astype(np.float32)
    plain, norms, dense = run_embedding(initial, token_ids, occurrences, clipped=False)
    clipped, _, _ = run_embedding(initial, token_ids, occurrences, clipped=True)
    arrays = {
        "initial": initial,
        "token_ids": token_ids.astype(np.int32),
        "occurrence_gradients": occurrences,
        "dense_gradients": dense,
        "gradient_norms": norms,
        "plain": plain,
        "clipped": clipped,
        "unsummed_duplicates": unsummed_duplicates(initial, token_ids, occurrences),
    }
    return {f"embedding/{name}": array for name, array in arrays.items()}


def main():
    random = np.random.RandomState(0)
    arrays = {"learning_rates": learning_rates()}
    arrays |= dense_arrays(random) | embedding_arrays(random)
    certificate = {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "betas": BETAS,
        "weight_decay": WEIGHT_DECAY,
        "global_clipnorm": GLOBAL_CLIPNORM,
        "variants": {name: {"epsilon": e, "clipped": c} for name, (_, e, c) in VARIANTS.items()},
        "embedding_epsilon": EMBEDDING_EPSILON,
    }
    path = Path(__file__).with_name("adamw_golden.npz")
    np.savez_compressed(path, **arrays, certificate=json.dumps(certificate))
    print(json.dumps(certificate, indent=2))


if __name__ == "__main__":
    main()
