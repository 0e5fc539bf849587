"""`FineTuner`: the model that is trained, with the only train step of kerasft."""

from __future__ import annotations

from types import ModuleType

import keras
import tensorflow as tf

from kerasft.models.fast.kernels import computing_with
from kerasft.models.windows import over_windows
from kerasft.training.distribution.strategy import sum_over_replicas, sum_step
from kerasft.training.step.accumulation import Gradients, accumulate
from kerasft.training.step.lazy_rows import LazyRows, sum_rows
from kerasft.training.step.loss_scale import LossScale
from kerasft.training.step.norms import clip_factor, squares
from kerasft.training.step.objective import Objective, compute_gradients
from kerasft.training.step.optimizer import RuledUpdates
from kerasft.training.step.penalties import Penalties

FEATURES = "features"


class FineTuner(keras.Model):
    """An encoder and a head, with a train step that is the same on one device and on many.

    The step: gradient of the *sum* of the losses, accumulated over the parts of a batch, repeated
    embedding rows summed, summed over the replicas, divided by the sum of all sample weights,
    gradients of penalties added, clipped by the global norm, applied with each variable's own rate,
    averaged over time. Keras's order (mean in each replica, clip, then sum) makes the update depend
    on the number of replicas. `fit` and `evaluate` work, with batches of `(inputs, labels)` or
    `(inputs, labels, sample_weight)`.

    Args:
        encoder: A `kerasft.models.encoder.Encoder`.
        head: A layer from pooled vectors to logits.
        global_clipnorm: Maximum global norm of a gradient (Pascanu et al. 2013); 0: no clipping.
        window_length: Tokens per window, if a row holds consecutive windows of a long text, as from
            `WordPiecePreprocessor(truncation="windows")`. Each window is encoded separately, and
            their logits are averaged. Defaults to `None`: a row is read as a whole. XLA cannot
            compile windows, whose number changes from batch to batch.
        accumulation_steps: Parts that a replica's rows are computed in, one after the other.
            Defaults to 1.
        objective: How the loss of a batch is computed. Defaults to its plain sum.
        penalties: Penalties on the weights. Defaults to none.
        name: Model name.
    """

    def __init__(
        self,
        encoder,
        head,
        *,
        global_clipnorm: float = 0.0,
        window_length: int | None = None,
        accumulation_steps: int = 1,
        objective: Objective | None = None,
        penalties: Penalties | None = None,
        name: str = "fine_tuner",
    ):
        super().__init__(name=name)
        self.encoder = encoder
        self.head = head
        self.global_clipnorm = global_clipnorm
        self.window_length = window_length
        self.accumulation_steps = accumulation_steps
        self.objective = objective or Objective()
        self.penalties = penalties or Penalties()
        self.returns_gradient_squares = False
        if self.objective.mixup_alpha:
            self.mixing_seeds = keras.random.SeedGenerator(name="mixing_seeds")
        is_float16 = encoder.compute_dtype == "float16"
        self.loss_scale = LossScale() if is_float16 else None
        if window_length is not None or accumulation_steps > 1:
            self.supports_jit = False  # read by Keras when `jit_compile` is "auto"
        self.built = True

    def compile(
        self,
        *args,
        metrics=None,
        weighted_metrics=None,
        all_reduce_dtype: str = "float32",
        updates_rows: bool = True,
        kernels: ModuleType | None = None,
        **options,
    ) -> None:
        """Configures training, with the arguments of `keras.Model.compile` and three more.

        All metrics are weighted, so that rows of weight 0, which only fill a batch, do not count.
        Their variables are created here, not at the first batch, so that a checkpoint can restore
        them.

        Args:
            *args: As in Keras.
            metrics: As in Keras.
            weighted_metrics: As in Keras.
            all_reduce_dtype: Gradients are rounded to it before they are summed over the replicas:
                `float32`, or `bfloat16`, which halves the transfer.
            updates_rows: Whether the lazy table of an `AdamW` is updated row by row; only on one
                device, and if nothing else makes a gradient of the whole table.
            kernels: Of `models.fast.kernels`, for step and `AdamW`; `None`: TensorFlow's ops.
            **options: As in Keras.
        """
        self.all_reduce_dtype = all_reduce_dtype
        self.updates_rows = updates_rows
        self.kernels = kernels
        weighted_metrics = [*(metrics or ()), *(weighted_metrics or ())]
        super().compile(*args, weighted_metrics=weighted_metrics, **options)
        self.optimizer.kernels = kernels
        if self.loss_scale is not None:
            self.optimizer.loss_scale = self.loss_scale
        logits = self.head(keras.KerasTensor((None, self.encoder.hidden_dim)))
        for metric in self.metrics:
            if not getattr(metric, "built", True):
                metric.build(keras.KerasTensor((None,)), logits)

    def call(self, inputs, training=None):
        """Returns logits, float32 `(batch_size, num_outputs)`.

        Args:
            inputs: `token_ids`, `segment_ids`, `padding_mask`, int32 `(batch_size,
                sequence_length)`; or `features`, float32 `(batch_size, hidden_dim)`: pooled vectors
                of a frozen encoder.
            training: Whether dropout is on.
        """

        def compute(rows):
            return self.head(self.pooled(rows, training), training=training)

        return over_windows(inputs, self.window_length, compute)

    def pooled(self, inputs, training=None):
        """Returns pooled vectors, `(batch_size, hidden_dim)`, of rows that are read whole."""
        if FEATURES in inputs:
            return inputs[FEATURES]
        sequence_output = self.encoder(inputs, training=training)
        return self.encoder.pool(sequence_output, inputs["padding_mask"])

    @property
    def trained_variables(self) -> list[tf.Variable]:
        """The TensorFlow variables that are trained now."""
        return [variable.value for variable in self.trainable_variables]

    def train_step(self, data) -> dict[str, tf.Tensor]:
        """Trains on one batch.

        Returns:
            `loss` and the compiled metrics, averaged since their last reset; for this global batch
            only `batch_loss` and `gradient_norm` (before clipping).
        """
        batch = self._unpack(data)
        self._catch_up(batch[0])
        part = self._accumulate(batch)
        gradients = self._sum_occurrences(part.gradients)
        gradients, loss_sum, weight = sum_step(
            gradients, part.loss_sum, tf.reduce_sum(batch[2]), sent_as=self.all_reduce_dtype
        )
        loss = tf.math.divide_no_nan(loss_sum, weight)
        divisor = weight if self.loss_scale is None else weight * self.loss_scale.scale
        gradients, norms = self._average_and_clip(gradients, tf.math.divide_no_nan(1.0, divisor))
        if self.loss_scale is not None:
            self.loss_scale.update(norms["gradient_norm"])
        self._apply(gradients)
        logs = self._count(data, part.logits, loss=loss, weight=weight)
        return logs | norms | {"batch_loss": loss}

    def test_step(self, data) -> dict[str, tf.Tensor]:
        """Evaluates one batch; returns `loss` and the compiled metrics."""
        inputs, labels, weights = self._unpack(data)
        logits = self(inputs, training=False)
        loss_sum, weight = sum_over_replicas(
            (
                tf.reduce_sum(self.loss_by_example(labels, logits) * weights),
                tf.reduce_sum(weights),
            )
        )
        loss = tf.math.divide_no_nan(loss_sum, weight)
        return self._count(data, logits, loss=loss, weight=weight)

    def loss_by_example(self, labels, logits) -> tf.Tensor:
        """Returns the compiled loss of each example, float32 `(batch_size,)`."""
        loss = keras.losses.get(self.loss)  # an object, whose `call` does not reduce, or a function
        return tf.cast(getattr(loss, "call", loss)(labels, logits), tf.float32)

    def scaled_loss(self, loss_sum) -> tf.Tensor:
        """Returns the loss to differentiate, in float16 times the loss scale."""
        return loss_sum if self.loss_scale is None else loss_sum * self.loss_scale.scale

    def _unpack(self, data):
        """Returns inputs, labels and float32 sample weights (1 by default)."""
        inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        if weights is None:
            weights = tf.ones(tf.shape(labels)[:1])
        return inputs, labels, tf.cast(weights, tf.float32)

    def _accumulate(self, batch) -> Gradients:
        """Returns the gradients of the sum of this replica's losses."""

        def compute(*rows):
            with computing_with(self.kernels):
                return compute_gradients(self, self.objective, *rows)

        if self.accumulation_steps == 1:
            return compute(*batch)
        return accumulate(
            compute,
            batch,
            parts=self.accumulation_steps,
            variables=self.trained_variables,
            num_outputs=self.head.num_outputs,
        )

    @property
    def _lazy_rows(self) -> LazyRows | None:
        return getattr(self.optimizer, "lazy_rows", None) if self.updates_rows else None

    def owed(self) -> list[tuple[keras.Variable, tf.Tensor]]:
        """Returns the lazily updated weights, each with its up-to-date value."""
        lazy = self._lazy_rows
        return [] if lazy is None else [(lazy.table, lazy.values())]

    def trained_values(self) -> list[tf.Tensor]:
        """Returns copies of the trained weights, with lazy updates applied; changes nothing."""
        owed = {weight.path: value for weight, value in self.owed()}
        return [
            owed[weight.path] if weight.path in owed else tf.identity(weight.value)
            for weight in self.trainable_variables
        ]

    def settle(self) -> None:
        """Applies lazy updates that are pending in a state restored from another model."""
        owed = getattr(self.optimizer, "lazy_rows", None)
        if owed is not None and not self.updates_rows:
            owed.catch_up_all()

    def _catch_up(self, inputs) -> None:
        """Updates the embedding rows that a batch reads."""
        if self._lazy_rows is not None:
            rows, _ = tf.unique(tf.reshape(inputs["token_ids"], (-1,)))
            self._lazy_rows.catch_up(rows)

    def _sum_occurrences(self, gradients):
        """Returns gradients with the occurrences of each token's row summed.

        For a table that is updated row by row these are its rows, for others a dense gradient.
        """
        lazy = self._lazy_rows and self._lazy_rows.table.value
        return [
            sum_rows(gradient) if variable is lazy else tf.convert_to_tensor(gradient)
            for gradient, variable in zip(gradients, self.trained_variables, strict=True)
        ]

    def _average_and_clip(self, gradients, reciprocal):
        """Turns summed gradients into clipped means; returns them and the norms before clipping."""
        if self.penalties.are_any:
            gradients = [gradient * reciprocal for gradient in gradients]
            gradients = self.penalties.add_gradients(gradients, self.trainable_variables)
            reciprocal = tf.ones(())
        of_variables = squares(gradients) * tf.square(reciprocal)
        norm = tf.sqrt(tf.reduce_sum(of_variables))
        factor = reciprocal * clip_factor(norm, self.global_clipnorm)  # in one pass over them
        norms = {"gradient_norm": norm}
        if self.returns_gradient_squares:
            norms["gradient_squares"] = of_variables
        return [tf.math.scalar_mul(factor, gradient) for gradient in gradients], norms

    def _apply(self, gradients) -> None:
        """Applies gradients that are already summed over the replicas.

        Third-party Keras optimizers all-reduce them again, so divide by the number of replicas
        first.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas > 1 and not isinstance(self.optimizer, RuledUpdates):
            gradients = [gradient / replicas for gradient in gradients]
        self.optimizer.apply(gradients, self.trainable_variables)

    def _count(self, data, logits, *, loss, weight) -> dict[str, tf.Tensor]:
        """Updates the loss tracker and the compiled metrics; returns their results."""
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=weight)
        inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        return self.compute_metrics(inputs, labels, logits, sample_weight=weights)
