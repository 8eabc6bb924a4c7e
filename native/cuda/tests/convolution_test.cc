#include "cases.h"
#include "../kernels/march_layout.h"

namespace mfl::cuda::test {

namespace {

struct Given {
  Tensor z;
  std::vector<Coefficients> coefficients;
  std::vector<float> weights;
  DeviceTensor z_there;
  Buffer<Coefficients> coefficients_there;
  Buffer<float> weights_there;

  explicit Given(const Case &c)
      : z(noise_tensor(c.shape.grid, c.shape.inputs, c.shape.precision, 1, 1.5)),
        coefficients(noise_coefficients(c.shape.grid.volumes, c.shape.inputs, 2)),
        weights(noise_floats(9, size_t{27} * c.shape.inputs * c.shape.outputs, 0.2)),
        z_there(z, c.shape.precision),
        coefficients_there(coefficients),
        weights_there(weights) {}

  Activated input(const Case &c) const {
    return {z_there.get(), c.activation == Activation::identity ? nullptr : coefficients_there.get(), c.activation};
  }
};

/** Bytes that a march of G outputs a block takes, with what its kernels have of static shared memory. */
template <int G>
size_t march_bytes(const Device &device, const Convolution &shape, bool with_outputs) {
  March m = {};
  m.tiling = march_tiling(device, shape);
  m.inputs = shape.inputs;
  m.outputs = shape.outputs;
  m.chunk = march_chunk<G>(device, m.tiling, m.inputs, with_outputs);
  return march_shared_bytes<G>(m, with_outputs) + march_static_bytes;
}

}  // namespace

TEST("what a march keeps in shared memory fits the devices that there are") {
  for (size_t kibibytes : {64, 99, 163, 227}) {
    for (uint32_t channels = 1; channels <= most_channels; channels++) {
      for (uint32_t dilation : {1u, 4u, 5u, 8u, 9u, 12u, 13u, 16u, 17u, 64u}) {
        for (uint32_t width : {32u, 64u, 256u}) {
          for (uint32_t height : {dilation, 8 * dilation}) {
            const Device device = {80, kibibytes * 1024};
            const Convolution shape = {{1, 8, height, width}, channels, channels, dilation, Precision::fp32};
            for (bool with_outputs : {false, true}) {
              const auto bytes_of = [&] {
                switch (march_channels(channels)) {
                  case 1: return march_bytes<1>(device, shape, with_outputs);
                  case 2: return march_bytes<2>(device, shape, with_outputs);
                  case 3: return march_bytes<3>(device, shape, with_outputs);
                  case 4: return march_bytes<4>(device, shape, with_outputs);
                  default: return march_bytes<5>(device, shape, with_outputs);
                }
              };
              check(bytes_of() <= device.shared_bytes, std::to_string(bytes_of()) + " bytes for " + std::to_string(channels) + " channels, dilation " +
                                                           std::to_string(dilation) + ", width " + std::to_string(width) + " in " + std::to_string(kibibytes) + " KiB");
            }
          }
        }
      }
    }
  }
}

TEST("a convolution of the activated input is that of float64 loops, and measures its own output") {
  for_each_case([](const Case &c) {
    const Given given(c);
    const Tensor right = convolved(activated_tensor(given.z, c.activation, given.coefficients), given.weights, c.shape.outputs, c.shape.dilation);
    for (const Device &device : devices_for()) {
      const DeviceTensor to(c.shape.grid, c.shape.outputs, c.shape.precision);
      const Buffer<double> partials(convolution_partials(device, c.shape));
      expect(convolve(nullptr, device, c.shape, given.input(c), given.weights_there.get(), to.get(), partials.get()));
      const Tensor got = to.read();
      const double error = largest_error(got.values, right.values);
      check(error < tolerance(c.shape.precision), c.name() + ": error " + std::to_string(error));

      const uint32_t channels = c.shape.outputs, volumes = c.shape.grid.volumes;
      const std::vector<float> parameters = noise_floats(4, 3 * channels, 0.5, 1), factors = noise_floats(5, 100 * volumes, 0.5, 1);
      const Buffer<float> parameters_there(parameters), factors_there(factors), measured(2 * channels);
      const Buffer<Coefficients> coefficients(volumes * channels);
      const float *p = parameters_there.get();
      const Affine affine = {p, p + channels, p + 2 * channels, factors_there.get(), 100};
      expect(finish_batch_statistics(nullptr, device, c.shape, partials.get(), affine, coefficients.get(), measured.get()));
      const std::vector<float> moments = measured.read();
      const std::vector<Coefficients> made = coefficients.read();
      for (uint32_t o = 0; o < channels; o++) {
        double sum = 0, squares = 0, count = 0;
        got.for_each([&](uint32_t n, uint32_t channel, int z, int y, int x) {
          if (channel != o) return;
          const double value = got.read(n, channel, z, y, x);
          sum += value;
          squares += value * value;
          count++;
        });
        const double mean = sum / count, variance = squares / count - mean * mean;
        const double inverse = 1 / std::sqrt(variance + 1e-5), weight = parameters[channels + o], offset = parameters[2 * channels + o];
        const auto near = [&](double is, double should, const char *what) {
          check(std::abs(is - should) < 2e-5 * (1 + std::abs(should)), c.name() + ": " + what + " " + std::to_string(is) + " for " + std::to_string(should));
        };
        near(moments[o], mean + parameters[o], "mean");
        near(moments[channels + o], variance, "variance");
        for (uint32_t n = 0; n < volumes; n++) {
          const Coefficients &k = made[n * channels + o];
          // One voxel has no variance but what rounding leaves, and 1 / sqrt(1e-5) makes that large.
          if (count == 1) continue;
          near(k.scale, weight * inverse, "scale");
          near(k.shift, offset - weight * inverse * mean, "shift");
          near(k.inverse, inverse, "inverse");
          near(k.center, -mean * inverse, "center");
          check(k.factor == factors[n * 100 + o], c.name() + ": factor");
        }
      }
    }
  });
}

TEST("the gradient by the data is that of float64 loops, through the slope of the block before") {
  for_each_case([](const Case &c) {
    if (c.activation == Activation::identity) return;
    const Given given(c);
    const Tensor gradient = noise_tensor(c.shape.grid, c.shape.outputs, c.shape.precision, 6, 1);
    Tensor right = transposed(gradient, given.weights, c.shape.inputs, c.shape.dilation);
    right.for_each([&](uint32_t n, uint32_t i, int z, int y, int x) {
      const Coefficients &k = given.coefficients[n * c.shape.inputs + i];
      right.at(n, i, z, y, x) *= k.factor * slope_of(c.activation, static_cast<double>(k.scale) * given.z.read(n, i, z, y, x) + k.shift);
    });
    for (const Device &device : devices_for()) {
      const DeviceTensor from(gradient, c.shape.precision), to(c.shape.grid, c.shape.inputs, c.shape.precision);
      const Buffer<double> partials(convolution_partials(device, c.shape));
      expect(data_gradient(nullptr, device, c.shape, from.get(), given.weights_there.get(), given.input(c), to.get(), partials.get()));
      const Tensor got = to.read();
      const double error = largest_error(got.values, right.values);
      check(error < tolerance(c.shape.precision), c.name() + ": error " + std::to_string(error));

      const uint32_t channels = c.shape.inputs, volumes = c.shape.grid.volumes;
      const Buffer<float> by_weight(channels), by_offset(channels), by_bias(channels);
      const Buffer<Coefficients> coefficients(given.coefficients);
      expect(finish_normalisation(nullptr, c.shape.grid, channels, true, data_gradient_sums(device, c.shape, partials.get()),
                                  coefficients.get(), by_weight.get(), by_offset.get(), by_bias.get()));
      std::vector<double> sums(channels), products(channels);
      got.for_each([&](uint32_t n, uint32_t i, int z, int y, int x) {
        const Coefficients &k = given.coefficients[n * channels + i];
        sums[i] += got.read(n, i, z, y, x);
        products[i] += got.read(n, i, z, y, x) * (static_cast<double>(k.inverse) * given.z.read(n, i, z, y, x) + k.center);
      });
      check(largest_error(by_offset.read(), sums) < 2e-5, c.name() + ": gradient by the offset");
      check(largest_error(by_weight.read(), products) < 2e-5, c.name() + ": gradient by the weight");
      check(by_bias.read() == std::vector<float>(channels), c.name() + ": a bias before a mean has a gradient");
      const std::vector<Coefficients> made = coefficients.read();
      const double samples = static_cast<double>(got.values.size()) / channels;
      for (uint32_t n = 0; n < volumes; n++) {
        for (uint32_t i = 0; i < channels; i++) {
          const Coefficients &k = given.coefficients[n * channels + i], &is = made[n * channels + i];
          const double by_z = -static_cast<double>(k.scale) * k.inverse * products[i] / samples;
          const double constant = -k.scale * (sums[i] + k.center * products[i]) / samples;
          check(is.by_slope == k.scale && std::abs(is.by_z - by_z) < 1e-5 && std::abs(is.constant - constant) < 1e-5,
                c.name() + ": coefficients of the way back");
        }
      }
    }
  });
}

TEST("the gradient by the weights is that of float64 loops, and z becomes the gradient by z") {
  for_each_case([](const Case &c) {
    const Given given(c);
    const Tensor z = noise_tensor(c.shape.grid, c.shape.outputs, c.shape.precision, 7, 1.5);
    const Tensor slopes = noise_tensor(c.shape.grid, c.shape.outputs, c.shape.precision, 8, 1);
    const std::vector<Coefficients> own = noise_coefficients(c.shape.grid.volumes, c.shape.outputs, 30);
    Tensor by_z(c.shape.grid, c.shape.outputs);
    by_z.for_each([&](uint32_t n, uint32_t o, int d, int h, int w) {
      const Coefficients &k = own[n * c.shape.outputs + o];
      by_z.at(n, o, d, h, w) = static_cast<double>(k.by_slope) * slopes.read(n, o, d, h, w) + static_cast<double>(k.by_z) * z.read(n, o, d, h, w) + k.constant;
    });
    const Tensor input = activated_tensor(given.z, c.activation, given.coefficients);
    for (const Device &device : devices_for()) {
      const DeviceTensor z_there(z, c.shape.precision), slopes_there(slopes, c.shape.precision);
      const Buffer<Coefficients> own_there(own);
      const Buffer<double> partials(weight_gradient_partials(device, c.shape));
      const Buffer<float> to(given.weights.size());
      expect(weight_gradient(nullptr, device, c.shape, given.input(c), own_there.get(), slopes_there.get(), z_there.get(), partials.get()));
      expect(finish_weight_gradient(nullptr, device, c.shape, partials.get(), to.get()));
      const Tensor got = z_there.read();
      double error = largest_error(got.values, by_z.values);
      check(error < (c.shape.precision == Precision::fp32 ? 1e-6 : 1.5e-2), c.name() + ": gradient by z, error " + std::to_string(error));
      error = largest_error(to.read(), by_weights(input, got, c.shape.dilation));
      check(error < tolerance(c.shape.precision), c.name() + ": gradient by the weights, error " + std::to_string(error));
    }
  });
}

}  // namespace mfl::cuda::test
