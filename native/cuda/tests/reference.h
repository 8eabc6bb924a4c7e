/* The mathematics of a block in float64, by the shortest loops. */
#pragma once

#include "tensors.h"

namespace mfl::cuda::test {

inline double activated(Activation activation, double u) {
  switch (activation) {
    case Activation::elu: return u > 0 ? u : std::expm1(u);
    case Activation::relu: return u > 0 ? u : 0;
    case Activation::gelu: return u * 0.5 * std::erfc(-u / std::sqrt(2.0));
    default: return u;
  }
}

inline double slope_of(Activation activation, double u) {
  switch (activation) {
    case Activation::elu: return u > 0 ? 1 : std::exp(u);
    case Activation::relu: return u > 0 ? 1 : 0;
    case Activation::gelu:
      return 0.5 * std::erfc(-u / std::sqrt(2.0)) + u * std::exp(-u * u / 2) / std::sqrt(2 * 3.14159265358979323846);
    default: return 1;
  }
}

/** (volumes, channels) of them; every seventh channel is dropped. */
inline std::vector<Coefficients> noise_coefficients(uint32_t volumes, uint32_t channels, uint32_t seed) {
  std::vector<Coefficients> all;
  for (uint32_t i = 0; i < volumes * channels; i++) {
    const auto value = [&](uint32_t which) { return static_cast<float>(noise(seed + which, i)); };
    all.push_back({1 + 0.3f * value(0), 0.4f * value(1), i % 7 == 6 ? 0.0f : 1.25f, 0.8f + 0.2f * value(2), 0.3f * value(3),
                   0.9f + 0.2f * value(4), 0.1f * value(5), 0.05f * value(6)});
  }
  return all;
}

inline Tensor activated_tensor(const Tensor &z, Activation activation, const std::vector<Coefficients> &coefficients) {
  Tensor result(z.grid, z.channels);
  z.for_each([&](uint32_t n, uint32_t c, int d, int h, int w) {
    const double value = z.read(n, c, d, h, w);
    if (activation == Activation::identity) {
      result.at(n, c, d, h, w) = value;
      return;
    }
    const Coefficients &k = coefficients[n * z.channels + c];
    result.at(n, c, d, h, w) = k.factor * activated(activation, static_cast<double>(k.scale) * value + k.shift);
  });
  return result;
}

/** tap(kz, ky, kx, dz, dy, dx) for the 27 taps, with their distances. */
template <class Tap>
void for_each_tap(uint32_t dilation, Tap tap) {
  const int r = static_cast<int>(dilation);
  for (int k = 0; k < 27; k++) tap(k, (k / 9 - 1) * r, (k / 3 % 3 - 1) * r, (k % 3 - 1) * r);
}

inline Tensor convolved(const Tensor &input, const std::vector<float> &weights, uint32_t outputs, uint32_t dilation) {
  Tensor result(input.grid, outputs);
  result.for_each([&](uint32_t n, uint32_t o, int z, int y, int x) {
    double sum = 0;
    for_each_tap(dilation, [&](int tap, int dz, int dy, int dx) {
      if (!input.contains(z + dz, y + dy, x + dx)) return;
      for (uint32_t i = 0; i < input.channels; i++) {
        sum += static_cast<double>(weights[(o * input.channels + i) * 27 + tap]) * input.read(n, i, z + dz, y + dy, x + dx);
      }
    });
    result.at(n, o, z, y, x) = sum;
  });
  return result;
}

/** The gradient by the input of a convolution, from that by its output. */
inline Tensor transposed(const Tensor &gradient, const std::vector<float> &weights, uint32_t inputs, uint32_t dilation) {
  Tensor result(gradient.grid, inputs);
  result.for_each([&](uint32_t n, uint32_t i, int z, int y, int x) {
    double sum = 0;
    for_each_tap(dilation, [&](int tap, int dz, int dy, int dx) {
      if (!gradient.contains(z - dz, y - dy, x - dx)) return;
      for (uint32_t o = 0; o < gradient.channels; o++) {
        sum += static_cast<double>(weights[(o * inputs + i) * 27 + tap]) * gradient.read(n, o, z - dz, y - dy, x - dx);
      }
    });
    result.at(n, i, z, y, x) = sum;
  });
  return result;
}

/** (Co, Ci, 27) */
inline std::vector<double> by_weights(const Tensor &input, const Tensor &gradient, uint32_t dilation) {
  std::vector<double> result(static_cast<size_t>(gradient.channels) * input.channels * 27);
  gradient.for_each([&](uint32_t n, uint32_t o, int z, int y, int x) {
    const double slope = gradient.read(n, o, z, y, x);
    for_each_tap(dilation, [&](int tap, int dz, int dy, int dx) {
      if (!input.contains(z + dz, y + dy, x + dx)) return;
      for (uint32_t i = 0; i < input.channels; i++) {
        result[(o * input.channels + i) * 27 + tap] += slope * input.read(n, i, z + dz, y + dy, x + dx);
      }
    });
  });
  return result;
}

}  // namespace mfl::cuda::test
