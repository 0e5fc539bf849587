// What one thread does with a range of elements or rows: plain loops, which the compiler turns into
// the vector instructions of this processor. All of them compute in float32.
//
// Sums are kept in kLanes partial sums, always the same, so that a result depends neither on the
// compiler's choice nor on how many threads there are.

#ifndef KERASFT_LOOPS_H_
#define KERASFT_LOOPS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace kerasft {

constexpr int kLanes = 16;

// --- numbers

inline float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline uint32_t ToBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// A bfloat16 is the upper half of a float32.
struct Half {
  uint16_t bits;
};

inline float Load(float value) { return value; }
inline float Load(Half value) { return FromBits(static_cast<uint32_t>(value.bits) << 16); }

inline void Store(float value, float* to) { *to = value; }
inline void Store(float value, Half* to) {
  const uint32_t bits = ToBits(value);
  const uint32_t nearest = bits + 0x7fffu + ((bits >> 16) & 1u);  // ties to even
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  to->bits = static_cast<uint16_t>((is_nan ? bits | 0x400000u : nearest) >> 16);
}

constexpr float kRounds = 12582912.0f;  // 1.5 * 2 ** 23: what is added to it becomes an integer

// exp(x) for x <= 0, within 2 units in the last place; 0 below -87.
inline float ExpOfNegative(float x) {
  const float clamped = std::max(x, -87.0f);
  const float power = (clamped * 1.44269504f + kRounds) - kRounds;
  const float rest = (clamped - power * 0.693359375f) - power * -2.12194440e-4f;
  float series = 1.9875691500e-4f;  // of exp(rest), after Cephes
  series = series * rest + 1.3981999507e-3f;
  series = series * rest + 8.3334519073e-3f;
  series = series * rest + 4.1665795894e-2f;
  series = series * rest + 1.6666665459e-1f;
  series = series * rest + 5.0000001201e-1f;
  series = series * rest * rest + rest + 1.0f;
  const float scale = FromBits(static_cast<uint32_t>(static_cast<int32_t>(power) + 127) << 23);
  return x < -87.0f ? 0.0f : series * scale;
}

// The error function as a quotient of polynomials, within 4e-7, as TensorFlow computes it.
inline float Erf(float value) {
  const float x = std::min(std::max(value, -4.0f), 4.0f);
  const float square = x * x;
  float above = -2.72614225801306e-10f;
  above = above * square + 2.77068142495902e-08f;
  above = above * square - 2.10102402082508e-06f;
  above = above * square - 5.69250639462346e-05f;
  above = above * square - 7.34990630326855e-04f;
  above = above * square - 2.95459980854025e-03f;
  above = above * square - 1.60960333262415e-02f;
  float below = -1.45660718464996e-05f;
  below = below * square - 2.13374055278905e-04f;
  below = below * square - 1.68282697438203e-03f;
  below = below * square - 7.37332916720468e-03f;
  below = below * square - 1.42647390514189e-02f;
  return x * above / below;
}

// Returns term(0) + ... + term(count - 1).
template <typename Term>
inline float Sum(int64_t count, Term term) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  for (; i < count; ++i) lanes[i % kLanes] += term(i);
  float sum = 0.0f;
  for (int lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
  return sum;
}

template <typename Term>
inline float Largest(int64_t count, Term term) {
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, -std::numeric_limits<float>::infinity());
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const float value = term(i + lane);
      lanes[lane] = lanes[lane] < value ? value : lanes[lane];
    }
  }
  for (; i < count; ++i) lanes[0] = std::max(lanes[0], term(i));
  return *std::max_element(lanes, lanes + kLanes);
}

// --- GELU

inline float NormalDistribution(float x) { return 0.5f * Erf(x * 0.70710678f) + 0.5f; }

template <typename T>
void Gelu(const T* __restrict features, T* __restrict outputs, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float x = Load(features[i]);
    Store(x * NormalDistribution(x), &outputs[i]);
  }
}

template <typename T>
void GeluGrad(const T* __restrict features, const T* upstream, T* downstream, int64_t count) {
#pragma GCC ivdep  // where both are one buffer, each element is read before it is written
  for (int64_t i = 0; i < count; ++i) {
    const float x = Load(features[i]);
    const float density = 0.39894228f * ExpOfNegative(-0.5f * x * x);
    Store(Load(upstream[i]) * (NormalDistribution(x) + x * density), &downstream[i]);
  }
}

// --- dropout: an element is kept where what was drawn for it reaches a bound

struct Dropout {
  const uint8_t* drawn;  // null where nothing is dropped
  int bound;
  float scale;  // of what is kept

  float operator()(int64_t i) const {
    return drawn == nullptr ? 1.0f : (drawn[i] >= bound ? scale : 0.0f);
  }
  Dropout At(int64_t i) const { return {drawn == nullptr ? nullptr : drawn + i, bound, scale}; }
};

// --- layer normalization of `dropout(inputs) + residual`, one row

template <typename T>
void AddNorm(const T* __restrict inputs, const T* __restrict residual, const Dropout dropout,
             const float* __restrict gamma, const float* __restrict beta, float epsilon,
             int64_t width, T* __restrict outputs, float* __restrict normalized,
             float* __restrict inverse) {
  for (int64_t i = 0; i < width; ++i) {
    normalized[i] = Load(inputs[i]) * dropout(i) + Load(residual[i]);
  }
  const float mean = Sum(width, [&](int64_t i) { return normalized[i]; }) / width;
  const float variance = Sum(width, [&](int64_t i) {
                           const float centered = normalized[i] - mean;
                           return centered * centered;
                         }) / width;
  const float scale = 1.0f / std::sqrt(variance + epsilon);
  *inverse = scale;
  for (int64_t i = 0; i < width; ++i) {
    const float value = (normalized[i] - mean) * scale;
    normalized[i] = value;
    Store(value * gamma[i] + beta[i], &outputs[i]);
  }
}

// Adds to the gradients of gamma and beta.
template <typename T>
void AddNormGrad(const T* __restrict upstream, const float* __restrict normalized, float inverse,
                 const float* __restrict gamma, const Dropout dropout, int64_t width,
                 T* __restrict to_inputs, T* __restrict to_residual, float* __restrict to_gamma,
                 float* __restrict to_beta) {
  const float mean =
      Sum(width, [&](int64_t i) { return Load(upstream[i]) * gamma[i]; }) / width;
  const float along =
      Sum(width, [&](int64_t i) { return Load(upstream[i]) * gamma[i] * normalized[i]; }) / width;
  for (int64_t i = 0; i < width; ++i) {
    const float up = Load(upstream[i]);
    to_gamma[i] += up * normalized[i];
    to_beta[i] += up;
    const float slope = (up * gamma[i] - mean - normalized[i] * along) * inverse;
    Store(slope, &to_residual[i]);
  }
  for (int64_t i = 0; i < width; ++i) Store(Load(to_residual[i]) * dropout(i), &to_inputs[i]);
}

constexpr float kMasked = -30000.0f;  // added to the scores of masked keys, as in attention.py

// --- attention: softmax of one row of scores, of which some keys are masked, then dropout

template <typename T>
void Weigh(const T* __restrict scores, const uint8_t* __restrict mask, const Dropout dropout,
           int64_t count, float* __restrict scratch, T* __restrict weights, T* __restrict used) {
  for (int64_t i = 0; i < count; ++i) {
    scratch[i] = Load(scores[i]) + (mask[i] != 0 ? 0.0f : kMasked);
  }
  const float largest = Largest(count, [&](int64_t i) { return scratch[i]; });
  for (int64_t i = 0; i < count; ++i) scratch[i] = ExpOfNegative(scratch[i] - largest);
  const float reciprocal = 1.0f / Sum(count, [&](int64_t i) { return scratch[i]; });
  for (int64_t i = 0; i < count; ++i) Store(scratch[i] * reciprocal, &weights[i]);
  if (dropout.drawn == nullptr) return;
  for (int64_t i = 0; i < count; ++i) {
    const float factor = dropout.drawn[i] >= dropout.bound ? 1.0f : 0.0f;
    Store(Load(weights[i]) * factor, &used[i]);
  }
}

// From the gradient of what was used to that of the scores.
template <typename T>
void WeighGrad(const T* __restrict weights, const T* __restrict used, const T* upstream,
               int64_t count, T* downstream) {
  const float mean = Sum(count, [&](int64_t i) { return Load(used[i]) * Load(upstream[i]); });
#pragma GCC ivdep
  for (int64_t i = 0; i < count; ++i) {
    Store(Load(used[i]) * Load(upstream[i]) - Load(weights[i]) * mean, &downstream[i]);
  }
}

// --- AdamW

struct Adam {
  float rate;   // with Adam's correction of both biases
  float decay;  // what is taken away of a weight, a share of it
  float beta_1, beta_2, epsilon;
};

inline void ApplyAdam(const Adam adam, const float* __restrict gradients,
                      float* __restrict weights, float* __restrict momentums,
                      float* __restrict velocities, int64_t count) {
  const float rest_1 = 1.0f - adam.beta_1, rest_2 = 1.0f - adam.beta_2;
  for (int64_t i = 0; i < count; ++i) {
    const float gradient = gradients[i];
    const float momentum = momentums[i] + (gradient - momentums[i]) * rest_1;
    const float velocity = velocities[i] + (gradient * gradient - velocities[i]) * rest_2;
    const float weight = weights[i] - adam.decay * weights[i];
    momentums[i] = momentum;
    velocities[i] = velocity;
    weights[i] = weight - adam.rate * momentum / (std::sqrt(velocity) + adam.epsilon);
  }
}

}  // namespace kerasft

#endif  // KERASFT_LOOPS_H_
