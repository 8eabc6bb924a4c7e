/* Buffers on the device, and tensors as float64 on the host: what tests put in and take out. */
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "../kernels/launch.h"
#include "check.h"

namespace mfl::cuda::test {

inline void expect(cudaError_t error) {
  if (error != cudaSuccess) fail(std::string("CUDA: ") + cudaGetErrorString(error));
}
inline void expect(Status status) { check(status == Status::ok, "a launcher refused"); }

/** Device memory, from a vector or of a size. */
template <class T>
class Buffer {
 public:
  explicit Buffer(size_t count) : count_(count) { expect(cudaMalloc(&memory_, count * sizeof(T))); }
  explicit Buffer(const std::vector<T> &values) : Buffer(values.size()) {
    expect(cudaMemcpy(memory_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~Buffer() { cudaFree(memory_); }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;

  T *get() const { return memory_; }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    expect(cudaDeviceSynchronize());
    expect(cudaMemcpy(values.data(), memory_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  T *memory_ = nullptr;
  size_t count_;
};

/** Numbers in [-1, 1) that depend on the seed and the index alone. */
inline double noise(uint32_t seed, size_t index) {
  uint32_t mixed = static_cast<uint32_t>(index) * 2654435761u + seed * 2246822519u;
  mixed = (mixed ^ mixed >> 15) * 2246822519u;
  mixed = (mixed ^ mixed >> 13) * 3266489917u;
  mixed ^= mixed >> 16;
  return mixed / 2147483648.0 - 1.0;
}

inline std::vector<float> noise_floats(uint32_t seed, size_t count, double size, double center = 0) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; i++) values[i] = static_cast<float>(center + size * noise(seed, i));
  return values;
}

inline float round_to(Precision precision, float value) {
  if (precision == Precision::fp32) return value;
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
  std::memcpy(&value, &bits, 4);
  return value;
}

/** (volumes, channels, depth, height, width), dense. */
struct Tensor {
  Grid grid;
  uint32_t channels;
  std::vector<double> values;

  Tensor(const Grid &g, uint32_t c) : grid(g), channels(c), values(static_cast<size_t>(g.volumes) * c * g.depth * g.height * g.width) {}

  size_t index(uint32_t n, uint32_t c, int z, int y, int x) const {
    return (((static_cast<size_t>(n) * channels + c) * grid.depth + z) * grid.height + y) * grid.width + x;
  }
  double &at(uint32_t n, uint32_t c, int z, int y, int x) { return values[index(n, c, z, y, x)]; }
  bool contains(int z, int y, int x) const {
    return z >= 0 && y >= 0 && x >= 0 && z < static_cast<int>(grid.depth) && y < static_cast<int>(grid.height) && x < static_cast<int>(grid.width);
  }
  double read(uint32_t n, uint32_t c, int z, int y, int x) const { return contains(z, y, x) ? values[index(n, c, z, y, x)] : 0; }

  /** each(n, c, z, y, x) for every element. */
  template <class Each>
  void for_each(Each each) const {
    for (uint32_t n = 0; n < grid.volumes; n++)
      for (uint32_t c = 0; c < channels; c++)
        for (int z = 0; z < static_cast<int>(grid.depth); z++)
          for (int y = 0; y < static_cast<int>(grid.height); y++)
            for (int x = 0; x < static_cast<int>(grid.width); x++) each(n, c, z, y, x);
  }
};

/** Of noise that the precision holds exactly. */
inline Tensor noise_tensor(const Grid &grid, uint32_t channels, Precision precision, uint32_t seed, double size) {
  Tensor tensor(grid, channels);
  for (size_t i = 0; i < tensor.values.size(); i++) tensor.values[i] = round_to(precision, static_cast<float>(size * noise(seed, i)));
  return tensor;
}

/** A tensor as it lies on the device. */
class DeviceTensor {
 public:
  DeviceTensor(const Grid &grid, uint32_t channels, Precision precision)
      : grid_(grid), channels_(channels), precision_(precision), bytes_(tensor_bytes(grid, channels, precision)) {}
  explicit DeviceTensor(const Tensor &tensor, Precision precision) : DeviceTensor(tensor.grid, tensor.channels, precision) {
    std::vector<char> bytes(tensor_bytes(grid_, channels_, precision));
    tensor.for_each([&](uint32_t n, uint32_t c, int z, int y, int x) {
      const float value = static_cast<float>(tensor.read(n, c, z, y, x));
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      const size_t at = element(n, c, z, y, x);
      if (precision == Precision::fp32) {
        std::memcpy(&bytes[4 * at], &bits, 4);
      } else {
        bytes[2 * at] = static_cast<char>(bits >> 16);
        bytes[2 * at + 1] = static_cast<char>(bits >> 24);
      }
    });
    expect(cudaMemcpy(bytes_.get(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice));
  }

  void *get() const { return bytes_.get(); }
  std::vector<char> raw() const { return bytes_.read(); }

  /** Fails where a row is not zero beyond the width. */
  Tensor read() const {
    const std::vector<char> bytes = raw();
    Tensor tensor(grid_, channels_);
    const auto value_at = [&](size_t at) {
      uint32_t bits = 0;
      if (precision_ == Precision::fp32) {
        std::memcpy(&bits, &bytes[4 * at], 4);
      } else {
        uint16_t half;
        std::memcpy(&half, &bytes[2 * at], 2);
        bits = static_cast<uint32_t>(half) << 16;
      }
      float value;
      std::memcpy(&value, &bits, 4);
      return value;
    };
    tensor.for_each([&](uint32_t n, uint32_t c, int z, int y, int x) {
      tensor.at(n, c, z, y, x) = value_at(element(n, c, z, y, x));
      if (x > 0) return;
      for (uint32_t tail = grid_.width; tail < row_pitch(grid_.width); tail++) {
        check(value_at(element(n, c, z, y, static_cast<int>(tail))) == 0, "a row is not zero beyond the width");
      }
    });
    return tensor;
  }

 private:
  size_t element(uint32_t n, uint32_t c, int z, int y, int x) const {
    return (((static_cast<size_t>(n) * channels_ + c) * grid_.depth + z) * grid_.height + y) * row_pitch(grid_.width) + x;
  }
  Grid grid_;
  uint32_t channels_;
  Precision precision_;
  Buffer<char> bytes_;
};

/** The largest difference, in units of the root mean square of what is right. */
template <class A, class B>
double largest_error(const std::vector<A> &got, const std::vector<B> &right) {
  check(got.size() == right.size(), "sizes differ");
  double largest = 0, squares = 0;
  for (size_t i = 0; i < right.size(); i++) {
    const double error = std::abs(static_cast<double>(got[i]) - static_cast<double>(right[i]));
    // What is not a number is larger than any.
    largest = error <= largest ? largest : std::isnan(error) ? INFINITY : error;
    squares += static_cast<double>(right[i]) * static_cast<double>(right[i]);
  }
  const double scale = std::sqrt(squares / static_cast<double>(right.size()));
  return scale > 0 ? largest / scale : largest;
}

}  // namespace mfl::cuda::test
