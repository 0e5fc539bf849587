"""One run of a recipe, from its data to its results."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasft.data.sources import BUILTIN_SAMPLE
from kerasft.errors import UserError
from kerasft.models.presets import Preset
from kerasft.pipelines import assembly, outcome
from kerasft.recipe import Recipe
from kerasft.run_dir import RunDir
from kerasft.tasks.classification import Classification
from kerasft.training.checkpoint import latest_step, restore_latest
from kerasft.training.events import AllEvents, Events, HistoryEvents, read_history, rewind_history
from kerasft.training.fine_tuner import FineTuner
from kerasft.training.fit import (
    Fit,
    FitSettings,
    FitState,
    TrainingData,
    checkpointed_variables,
    monitored,
)
from kerasft.training.interrupt import Interrupted
from kerasft.training.loop import build_forward
from kerasft.training.memory import keep_freed_memory
from kerasft.training.strategy import build_strategy, describe_strategy
from kerasft.training.tensorboard import TensorBoardEvents, rewind_tensorboard


@dataclasses.dataclass(frozen=True)
class Run:
    """What a finished run left behind, as plain data.

    Args:
        path: The run directory.
        metrics: Flat metrics, `test/accuracy`, `validation/log_loss`, ...
        saved_model: The exported model's version folder; `None` if export is off.
        history: One mapping a step, as in `history.csv`.
        train: `examples_per_second`, `tokens_per_second`, `seconds`, `steps`, ...
        preset: The encoder's name.
        data: Name of the data source.
        label_names: The classes, in label order.
        confusion: How often each true class (rows) was taken for each class, on test.
    """

    path: Path
    metrics: dict[str, float]
    saved_model: Path | None
    history: list[dict]
    train: dict[str, float]
    preset: str
    data: str
    label_names: tuple[str, ...]
    confusion: list[list[int]]

    def to_json(self) -> dict[str, object]:
        """Returns the object that `--json` prints."""
        return {
            "run_dir": str(self.path),
            "saved_model": None if self.saved_model is None else str(self.saved_model),
            "metrics": self.metrics,
            "train": self.train,
            "preset": self.preset,
            "data": self.data,
        }


class Session:
    """One run, from its recipe to its results."""

    def __init__(self, recipe: Recipe, run_dir: RunDir | None, events: Sequence[Events]):
        self.recipe = recipe
        self.run_dir = run_dir
        self.events = AllEvents(list(events))

    def run(self, model: FineTuner) -> Run:
        """Trains, evaluates and exports.

        Args:
            model: From `build_model`.

        Raises:
            Interrupted: After Ctrl-C.
        """
        state = self._restore(model)
        self._listen(state)
        try:
            self._fit(model, state)
            return self._finish(state)
        except KeyboardInterrupt as error:
            # A second Ctrl-C stops without saving: what counts is the latest checkpoint.
            saved = latest_step(self.run_dir.checkpoints_folder)
            raise Interrupted(self.run_dir.path, saved) from error
        finally:
            self.events.close()

    def load(self) -> None:
        """Finds the devices, the preset and the data."""
        recipe = self.recipe
        keep_freed_memory()
        assembly.seed_everything(recipe.training.seed)  # before the first dropout layer is made
        self.strategy = build_strategy(recipe.training.strategy)
        self._check_devices()
        with self.strategy.scope():
            self.preset: Preset = assembly.load_recipe_preset(
                recipe, dtype=recipe.training.dtype_policy
            )
        self.preprocessor = assembly.build_preprocessor(recipe, self.preset)
        self.data = assembly.load_data(recipe, self.preset, announce=self.events.on_message)
        self._record_fallback()
        self.task = Classification(self.data.source.label_names)
        self._check_monitor()
        self.plan = assembly.build_plan(recipe, self.data)
        self.total_steps = assembly.steps_of(recipe, self.plan, "run")

    def _check_monitor(self) -> None:
        """Looks for the monitored metric before an epoch is spent on finding out."""
        labels = self.data.labels("validation")
        perfect = np.eye(self.task.num_outputs, dtype=np.float32)[labels]
        monitored(self.task.evaluate(labels, perfect), self.recipe.training.monitor)

    def _record_fallback(self) -> None:
        """Notes in the recipe that the run is on the sample, so that a resume stays on it."""
        if self.on_sample and self.recipe.data.dataset != BUILTIN_SAMPLE:
            data = dataclasses.replace(self.recipe.data, dataset=BUILTIN_SAMPLE, data_dir=None)
            self.recipe = dataclasses.replace(self.recipe, data=data)

    def build_model(self) -> FineTuner:
        """Builds and compiles the model under the strategy."""
        warmup_steps = assembly.steps_of(self.recipe, self.plan, "warmup", self.total_steps)
        with self.strategy.scope():
            model = assembly.build_model(self.recipe, self.preset, self.task)
            assembly.compile_model(
                model,
                self.recipe,
                self.task,
                total_steps=self.total_steps,
                warmup_steps=warmup_steps,
            )
        return model

    def _check_devices(self) -> None:
        """Refuses what cannot work on these devices."""
        on_cpu = not tf.config.list_logical_devices("GPU")
        if self.recipe.training.jit_compile and on_cpu and self.strategy.num_replicas_in_sync > 1:
            raise UserError(
                "XLA does not compile a step for several CPU replicas.",
                received="training.jit_compile=true with training.strategy=mirrored on CPUs",
                fix="set training.jit_compile=false or training.strategy=one_device.",
            )

    def _restore(self, model) -> FitState:
        """Goes back to the run's latest checkpoint, if there is one."""
        saved = restore_latest(
            self.run_dir.checkpoints_folder,
            checkpointed_variables(model),
            warn=self.events.on_message,
        )
        if saved is None:
            return FitState()
        state = FitState.from_checkpoint(saved)
        self.events.on_message(f"Resuming {self.run_dir.path} after step {state.step}.")
        return state

    def _listen(self, state: FitState) -> None:
        """Adds TensorBoard and the history, rewound to the step that training goes on from."""
        run_dir = self.run_dir
        rewind_tensorboard(run_dir.tensorboard_folder, state.step)
        rewind_history(run_dir.history_path, state.step)
        self.events.listeners += [
            TensorBoardEvents(run_dir.tensorboard_folder, self.recipe.to_toml()),
            HistoryEvents(run_dir.history_path),
        ]

    def fit_settings(self) -> FitSettings:
        """Returns when things happen in this run, in steps."""
        recipe, plan, total_steps = self.recipe, self.plan, self.total_steps
        return FitSettings(
            total_steps=total_steps,
            evaluate_every=assembly.steps_of(recipe, plan, "evaluate_every", total_steps),
            checkpoint_every=assembly.steps_of(recipe, plan, "checkpoint_every", total_steps),
            monitor=recipe.training.monitor,
            patience=recipe.training.early_stopping_patience,
        )

    def _fit(self, model, state: FitState) -> None:
        data = TrainingData(
            plan=self.plan,
            batches=assembly.train_batches(
                self.data,
                self.plan,
                total_steps=self.total_steps,
                replicas=self.strategy.num_replicas_in_sync,
            ),
            evaluate=functools.partial(self._validate, build_forward(model)),
        )
        Fit(
            model,
            self.strategy,
            data=data,
            settings=self.fit_settings(),
            folder=self.run_dir.checkpoints_folder,
            state=state,
            events=self.events,
        ).run()

    def _validate(self, forward, on_batch) -> dict[str, float]:
        labels = self.data.labels("validation")
        self.events.on_evaluation_start("validation", len(labels))
        logits = assembly.split_logits(
            forward,
            self.data,
            "validation",
            batch_size=self.recipe.evaluation.batch_size,
            on_batch=on_batch,
        )
        bins = self.recipe.evaluation.calibration_bins
        return self.task.evaluate(labels, logits, calibration_bins=bins)

    def _finish(self, state: FitState) -> Run:
        """Evaluates the best weights in float32, writes the results, exports."""
        result = self.outcome()
        model = result.best_model()
        facts = result.evaluate(model, self.data, "test", self.events)
        metrics = self._validation_metrics(result, model, state) | outcome.flat_metrics(facts)
        self.events.on_evaluation("test", state.step, facts.metrics, best=False)
        saved_model = None
        if self.recipe.export.enabled:
            saved_model = result.export(model, metrics=metrics, on_sample=self.on_sample, name=None)
        outcome.write_report(
            result,
            self.data,
            state,
            facts,
            saved_model=saved_model,
            device=describe_strategy(self.strategy),
        )
        finished = Run(
            path=self.run_dir.path,
            metrics=metrics,
            saved_model=saved_model,
            history=read_history(self.run_dir.history_path),
            train=outcome.training_figures(state),
            preset=self.recipe.model.preset,
            data=self.data.source.name,
            label_names=self.task.label_names,
            confusion=facts.confusion.tolist(),
        )
        # Written last: it marks the run as finished.
        details = {"label_names": finished.label_names, "confusion": finished.confusion}
        self.run_dir.write_json("metrics.json", finished.to_json() | details)
        return finished

    @property
    def on_sample(self) -> bool:
        """Whether the run trains on the built-in sample."""
        return self.data.source.name == BUILTIN_SAMPLE

    def outcome(self) -> outcome.Outcome:
        """Returns the way from the best checkpoint to the results."""
        preset = assembly.load_recipe_preset(self.recipe, dtype="float32")
        return outcome.Outcome(self.recipe, self.run_dir, preset, self.preprocessor, self.task)

    def _validation_metrics(self, result, model, state: FitState) -> dict[str, float]:
        """Returns the best step's validation metrics; measured anew if training was not float32."""
        if self.recipe.training.dtype_policy != "float32":
            facts = result.evaluate(model, self.data, "validation", self.events)
            return {f"validation/{name}": value for name, value in facts.metrics.items()}
        best = next(e for e in state.evaluations if e["step"] == state.best_step)
        return {f"validation/{name}": value for name, value in best.items() if name != "step"}
