// TensorFlow operations for what a training step computes element by element, on CPUs.
//
// Each does in one pass over memory what takes TensorFlow's own operations several; the arithmetic is
// in loops.h. Rows are dealt out in blocks of a fixed size, so that results do not depend on the
// number of threads. kerasft/models/fast/kernel_ops.py says what each operation is for.

#include <vector>

#include "loops.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace kerasft {

using tensorflow::DEVICE_CPU;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::InferenceContext;

constexpr int64_t kElementsOfBlock = 1 << 15;

// The type that the loops know for a type of TensorFlow's.
template <typename T>
struct Plain {
  using type = T;
};
template <>
struct Plain<tensorflow::bfloat16> {
  using type = Half;
};

template <typename T>
typename Plain<T>::type* Data(Tensor* tensor) {
  return reinterpret_cast<typename Plain<T>::type*>(tensor->flat<T>().data());
}

template <typename T>
const typename Plain<T>::type* Data(const Tensor& tensor) {
  return reinterpret_cast<const typename Plain<T>::type*>(tensor.flat<T>().data());
}

// Runs `work(first, last)` on ranges of `size` of all `count` items, on the threads of the device.
template <typename Work>
void ForBlocks(OpKernelContext* context, int64_t count, int64_t size, double cost, Work work) {
  const int64_t blocks = (count + size - 1) / size;
  auto* workers = context->device()->tensorflow_cpu_worker_threads()->workers;
  workers->ParallelFor(blocks, static_cast<int64_t>(cost * size), [&](int64_t from, int64_t to) {
    for (int64_t block = from; block < to; ++block) {
      work(block * size, std::min(count, (block + 1) * size));
    }
  });
}

int64_t RowsOfBlock(int64_t width) {
  return std::max<int64_t>(1, kElementsOfBlock / std::max<int64_t>(1, width));
}

// The second input decides what is dropped, by a byte for each element: those below `bound`. Where
// it is 0 nothing is, and nothing was drawn.
class DroppingKernel : public OpKernel {
 public:
  explicit DroppingKernel(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("bound", &bound_));
  }

 protected:
  Dropout ReadDropout(const Tensor& drawn) const {
    return {bound_ > 0 ? drawn.flat<uint8_t>().data() : nullptr, bound_, 256.0f / (256 - bound_)};
  }

  bool Fits(OpKernelContext* context, const Tensor& drawn, const Tensor& elements) const {
    if (bound_ == 0 || drawn.NumElements() == elements.NumElements()) return true;
    context->CtxFailure(absl::InvalidArgumentError("drawn: expected a byte for each element"));
    return false;
  }

 private:
  int bound_;
};

// --- GELU

template <typename T>
class GeluKernel : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& features = context->input(0);
    Tensor* outputs;
    OP_REQUIRES_OK(context, context->allocate_output(0, features.shape(), &outputs));
    const auto* from = Data<T>(features);
    auto* to = Data<T>(outputs);
    ForBlocks(context, features.NumElements(), kElementsOfBlock, 4,
              [&](int64_t i, int64_t end) { Gelu(from + i, to + i, end - i); });
  }
};

template <typename T>
class GeluGradKernel : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& features = context->input(0);
    const Tensor& upstream = context->input(1);
    OP_REQUIRES(context, features.shape() == upstream.shape(),
                absl::InvalidArgumentError("features and upstream: expected one shape"));
    Tensor* downstream;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({1}, 0, features.shape(),
                                                                      &downstream));
    const auto* from = Data<T>(features);
    const auto* up = Data<T>(upstream);
    auto* to = Data<T>(downstream);
    ForBlocks(context, features.NumElements(), kElementsOfBlock, 8,
              [&](int64_t i, int64_t end) { GeluGrad(from + i, up + i, to + i, end - i); });
  }
};

// --- layer normalization of a sum

template <typename T>
class AddNormKernel : public DroppingKernel {
 public:
  explicit AddNormKernel(OpKernelConstruction* context) : DroppingKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("epsilon", &epsilon_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& inputs = context->input(0);
    const Tensor& drawn = context->input(1);
    const Tensor& residual = context->input(2);
    const int64_t width = inputs.dim_size(inputs.dims() - 1);
    const int64_t rows = width == 0 ? 0 : inputs.NumElements() / width;
    OP_REQUIRES(context, inputs.shape() == residual.shape(),
                absl::InvalidArgumentError("inputs and residual: expected one shape"));
    OP_REQUIRES(context,
                context->input(3).NumElements() == width && context->input(4).NumElements() == width,
                absl::InvalidArgumentError("gamma and beta: expected the width of the inputs"));
    if (!Fits(context, drawn, inputs)) return;
    Tensor *outputs, *normalized, *inverse;
    OP_REQUIRES_OK(context, context->allocate_output(0, inputs.shape(), &outputs));
    OP_REQUIRES_OK(context, context->allocate_output(1, inputs.shape(), &normalized));
    OP_REQUIRES_OK(context, context->allocate_output(2, TensorShape({rows}), &inverse));
    const Dropout dropout = ReadDropout(drawn);
    const auto *from = Data<T>(inputs), *add = Data<T>(residual);
    const auto *gamma = Data<float>(context->input(3)), *beta = Data<float>(context->input(4));
    auto* to = Data<T>(outputs);
    auto *keep = Data<float>(normalized), *scale = Data<float>(inverse);
    ForBlocks(context, rows, RowsOfBlock(width), 4.0 * width, [&](int64_t row, int64_t end) {
      for (; row < end; ++row) {
        const int64_t i = row * width;
        AddNorm(from + i, add + i, dropout.At(i), gamma, beta, epsilon_, width, to + i, keep + i,
                scale + row);
      }
    });
  }

 private:
  float epsilon_;
};

template <typename T>
class AddNormGradKernel : public DroppingKernel {
 public:
  using DroppingKernel::DroppingKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& upstream = context->input(0);
    const Tensor& drawn = context->input(1);
    const Tensor& gamma = context->input(4);
    const int64_t width = gamma.NumElements();
    const int64_t rows = context->input(3).NumElements();
    OP_REQUIRES(context,
                upstream.NumElements() == rows * width &&
                    upstream.NumElements() == context->input(2).NumElements(),
                absl::InvalidArgumentError("upstream and normalized: expected (rows, width)"));
    if (!Fits(context, drawn, upstream)) return;
    Tensor *to_inputs, *to_residual, *to_gamma, *to_beta;
    OP_REQUIRES_OK(context, context->allocate_output(0, upstream.shape(), &to_inputs));
    OP_REQUIRES_OK(context, context->allocate_output(1, upstream.shape(), &to_residual));
    OP_REQUIRES_OK(context, context->allocate_output(2, gamma.shape(), &to_gamma));
    OP_REQUIRES_OK(context, context->allocate_output(3, gamma.shape(), &to_beta));
    const Dropout dropout = ReadDropout(drawn);
    const auto* up = Data<T>(upstream);
    const auto* normalized = Data<float>(context->input(2));
    const auto* inverse = Data<float>(context->input(3));
    const auto* scale = Data<float>(gamma);
    auto *down = Data<T>(to_inputs), *aside = Data<T>(to_residual);
    const int64_t size = std::max(RowsOfBlock(width), (rows + kSums - 1) / kSums);
    std::vector<float> sums(2 * width * kSums, 0.0f);  // a block has gradients of its own
    ForBlocks(context, rows, size, 5.0 * width, [&](int64_t row, int64_t end) {
      float* own = sums.data() + 2 * width * (row / size);
      for (; row < end; ++row) {
        const int64_t i = row * width;
        AddNormGrad(up + i, normalized + i, inverse[row], scale, dropout.At(i), width, down + i,
                    aside + i, own, own + width);
      }
    });
    for (int64_t i = 0; i < width; ++i) {
      float of_gamma = 0.0f, of_beta = 0.0f;
      for (int64_t block = 0; block < kSums; ++block) {
        of_gamma += sums[2 * width * block + i];
        of_beta += sums[2 * width * block + width + i];
      }
      to_gamma->flat<float>()(i) = of_gamma;
      to_beta->flat<float>()(i) = of_beta;
    }
  }

 private:
  static constexpr int64_t kSums = 64;
};

// --- the weights of the attention

template <typename T>
class WeighKernel : public DroppingKernel {
 public:
  using DroppingKernel::DroppingKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& scores = context->input(0);  // (texts, heads, queries, keys)
    const Tensor& drawn = context->input(1);
    const Tensor& mask = context->input(2);  // (texts, queries or 1, keys)
    OP_REQUIRES(context,
                scores.dims() == 4 && mask.dims() == 3 && mask.dim_size(0) == scores.dim_size(0) &&
                    mask.dim_size(2) == scores.dim_size(3) &&
                    (mask.dim_size(1) == 1 || mask.dim_size(1) == scores.dim_size(2)),
                absl::InvalidArgumentError("mask: expected (texts, queries or 1, keys)"));
    if (!Fits(context, drawn, scores)) return;
    const Dropout dropout = ReadDropout(drawn);
    const bool drops = dropout.drawn != nullptr;
    Tensor *weights, *used;
    OP_REQUIRES_OK(context, context->allocate_output(0, scores.shape(), &weights));
    OP_REQUIRES_OK(context, context->allocate_output(
                                1, drops ? scores.shape() : TensorShape({0}), &used));
    const int64_t queries = scores.dim_size(2), keys = scores.dim_size(3);
    const int64_t of_text = scores.dim_size(1) * queries;
    const int64_t masks = mask.dim_size(1);
    const auto* from = Data<T>(scores);
    const auto* may_look = reinterpret_cast<const uint8_t*>(mask.flat<bool>().data());
    auto *to = Data<T>(weights), *dropped = Data<T>(used);
    ForBlocks(context, scores.dim_size(0) * of_text, RowsOfBlock(keys),
              6.0 * keys, [&](int64_t row, int64_t end) {
                std::vector<float> scratch(keys);
                for (; row < end; ++row) {
                  const int64_t i = row * keys;
                  const int64_t m = row / of_text * masks + (masks == 1 ? 0 : row % queries);
                  Weigh(from + i, may_look + m * keys, dropout.At(i), keys, scratch.data(), to + i,
                        dropped + (drops ? i : 0));
                }
              });
  }
};

template <typename T>
class WeighGradKernel : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& weights = context->input(0);
    const Tensor& used = context->input(1);
    const Tensor& upstream = context->input(2);
    OP_REQUIRES(context, weights.shape() == used.shape() && weights.shape() == upstream.shape(),
                absl::InvalidArgumentError("weights, used, upstream: expected one shape"));
    Tensor* downstream;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({2}, 0, weights.shape(),
                                                                      &downstream));
    const int64_t keys = weights.dim_size(weights.dims() - 1);
    const auto *of = Data<T>(weights), *dropped = Data<T>(used), *up = Data<T>(upstream);
    auto* to = Data<T>(downstream);
    ForBlocks(context, keys == 0 ? 0 : weights.NumElements() / keys,
              RowsOfBlock(keys), 3.0 * keys, [&](int64_t row, int64_t end) {
                for (; row < end; ++row) {
                  const int64_t i = row * keys;
                  WeighGrad(of + i, dropped + i, up + i, keys, to + i);
                }
              });
  }
};

// --- AdamW

class AdamKernel : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& gradients = context->input(3);
    const Tensor& scalars = context->input(4);
    OP_REQUIRES(context, scalars.NumElements() == 5,
                absl::InvalidArgumentError("scalars: expected five"));
    const auto* of = Data<float>(scalars);
    const Adam adam = {of[0], of[1], of[2], of[3], of[4]};
    tensorflow::core::RefCountPtr<tensorflow::Var> variables[3];
    for (int i = 0; i < 3; ++i) {
      OP_REQUIRES_OK(context,
                     LookupResource(context, tensorflow::HandleFromInput(context, i), &variables[i]));
    }
    // Always in this order, and no two updates share a variable: they cannot wait for each other.
    tensorflow::mutex_lock weights_lock(*variables[0]->mu());
    tensorflow::mutex_lock momentums_lock(*variables[1]->mu());
    tensorflow::mutex_lock velocities_lock(*variables[2]->mu());
    float* values[3];
    for (int i = 0; i < 3; ++i) {
      Tensor* tensor = variables[i]->tensor();
      OP_REQUIRES(context, tensor->shape() == gradients.shape(),
                  absl::InvalidArgumentError("gradients: expected the shape of the variables"));
      OP_REQUIRES_OK(context, TakeFor(context, tensor));
      values[i] = Data<float>(tensor);
    }
    const auto* slopes = Data<float>(gradients);
    ForBlocks(context, gradients.NumElements(), kElementsOfBlock, 8, [&](int64_t i, int64_t end) {
      ApplyAdam(adam, slopes + i, values[0] + i, values[1] + i, values[2] + i, end - i);
    });
  }

 private:
  // Copies what a reader still holds, which must not see the update.
  static absl::Status TakeFor(OpKernelContext* context, Tensor* tensor) {
    if (tensor->RefCountIsOne()) return absl::OkStatus();
    Tensor copy;
    TF_RETURN_IF_ERROR(context->allocate_temp(tensor->dtype(), tensor->shape(), &copy));
    std::copy_n(tensor->flat<float>().data(), tensor->NumElements(), copy.flat<float>().data());
    *tensor = copy;
    return absl::OkStatus();
  }
};

// --- what TensorFlow is told of them

absl::Status ShapeOfFirst(InferenceContext* context) {
  context->set_output(0, context->input(0));
  return absl::OkStatus();
}

REGISTER_OP("KerasftGelu")
    .Attr("T: {float, bfloat16}")
    .Input("features: T")
    .Output("outputs: T")
    .SetShapeFn(ShapeOfFirst);

REGISTER_OP("KerasftGeluGrad")
    .Attr("T: {float, bfloat16}")
    .Input("features: T")
    .Input("upstream: T")
    .Output("downstream: T")
    .SetShapeFn(ShapeOfFirst);

REGISTER_OP("KerasftAddNorm")
    .Attr("T: {float, bfloat16}")
    .Attr("bound: int >= 0")
    .Attr("epsilon: float")
    .Input("inputs: T")
    .Input("drawn: uint8")
    .Input("residual: T")
    .Input("gamma: float")
    .Input("beta: float")
    .Output("outputs: T")
    .Output("normalized: float")
    .Output("inverse: float")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      context->set_output(1, context->input(0));
      context->set_output(2, context->UnknownShapeOfRank(1));
      return absl::OkStatus();
    });

REGISTER_OP("KerasftAddNormGrad")
    .Attr("T: {float, bfloat16}")
    .Attr("bound: int >= 0")
    .Input("upstream: T")
    .Input("drawn: uint8")
    .Input("normalized: float")
    .Input("inverse: float")
    .Input("gamma: float")
    .Output("to_inputs: T")
    .Output("to_residual: T")
    .Output("to_gamma: float")
    .Output("to_beta: float")
    .SetShapeFn([](InferenceContext* context) {
      context->set_output(0, context->input(0));
      context->set_output(1, context->input(0));
      context->set_output(2, context->input(4));
      context->set_output(3, context->input(4));
      return absl::OkStatus();
    });

REGISTER_OP("KerasftWeigh")
    .Attr("T: {float, bfloat16}")
    .Attr("bound: int >= 0")
    .Input("scores: T")
    .Input("drawn: uint8")
    .Input("mask: bool")
    .Output("weights: T")
    .Output("used: T")
    .SetShapeFn([](InferenceContext* context) {
      int bound;
      TF_RETURN_IF_ERROR(context->GetAttr("bound", &bound));
      context->set_output(0, context->input(0));
      context->set_output(1, bound > 0 ? context->input(0) : context->Vector(0));
      return absl::OkStatus();
    });

REGISTER_OP("KerasftWeighGrad")
    .Attr("T: {float, bfloat16}")
    .Input("weights: T")
    .Input("used: T")
    .Input("upstream: T")
    .Output("downstream: T")
    .SetShapeFn(ShapeOfFirst);

REGISTER_OP("KerasftAdam")
    .Input("weights: resource")
    .Input("momentums: resource")
    .Input("velocities: resource")
    .Input("gradients: float")
    .Input("scalars: float")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext*) { return absl::OkStatus(); });

#define KERASFT_REGISTER(name, Kernel)                                                       \
  REGISTER_KERNEL_BUILDER(Name(name).Device(DEVICE_CPU).TypeConstraint<float>("T"),          \
                          Kernel<float>);                                                    \
  REGISTER_KERNEL_BUILDER(Name(name).Device(DEVICE_CPU).TypeConstraint<tensorflow::bfloat16>("T"), \
                          Kernel<tensorflow::bfloat16>)

KERASFT_REGISTER("KerasftGelu", GeluKernel);
KERASFT_REGISTER("KerasftGeluGrad", GeluGradKernel);
KERASFT_REGISTER("KerasftAddNorm", AddNormKernel);
KERASFT_REGISTER("KerasftAddNormGrad", AddNormGradKernel);
KERASFT_REGISTER("KerasftWeigh", WeighKernel);
KERASFT_REGISTER("KerasftWeighGrad", WeighGradKernel);
REGISTER_KERNEL_BUILDER(Name("KerasftAdam").Device(DEVICE_CPU), AdamKernel);

}  // namespace kerasft
