#include "cases.h"

namespace mfl::cuda::test {

TEST("a shape that no kernel takes is a status") {
  const Device device = {90, 227 * 1024};
  const Convolution good = {{1, 4, 4, 4}, 5, 5, 1, Precision::fp32};
  const Buffer<float> memory(4096);
  const Buffer<Coefficients> coefficients(5);
  const Buffer<double> partials(4096);
  const Activated input = {memory.get(), coefficients.get(), Activation::elu};
  const auto refuses = [&](Convolution shape, const char *what) {
    check(convolve(nullptr, device, shape, input, memory.get(), memory.get(), partials.get()) == Status::invalid_argument, what);
    check(weight_gradient(nullptr, device, shape, input, coefficients.get(), memory.get(), memory.get(), partials.get()) == Status::invalid_argument, what);
    check(data_gradient(nullptr, device, shape, memory.get(), memory.get(), input, memory.get(), partials.get()) == Status::invalid_argument, what);
    check(convolution_partials(device, shape) == 0 && weight_gradient_partials(device, shape) == 0, what);
  };
  Convolution bad = good;
  bad.inputs = 0;
  refuses(bad, "no inputs");
  bad = good, bad.outputs = 65;
  refuses(bad, "65 outputs");
  bad = good, bad.dilation = 0;
  refuses(bad, "no dilation");
  bad = good, bad.dilation = 65;
  refuses(bad, "a dilation of 65");
  bad = good, bad.grid.height = 0;
  refuses(bad, "an empty grid");
  bad = good, bad.grid = {1, 2048, 1024, 1024};
  refuses(bad, "a channel of 2^31 elements");
  check(tensor_bytes(bad.grid, 5, Precision::fp32) == 0, "bytes of a channel of 2^31 elements");
  const Activated without = {memory.get(), nullptr, Activation::elu};
  check(convolve(nullptr, device, good, without, memory.get(), memory.get(), nullptr) == Status::invalid_argument, "an activation without coefficients");
  check(convolve(nullptr, device, good, input, nullptr, memory.get(), nullptr) == Status::invalid_argument, "no weights");
  const Head head = {{1, 4, 4, 4}, 5, 129, Precision::fp32};
  check(head_forward(nullptr, device, head, input, memory.get(), memory.get(), reinterpret_cast<uint8_t *>(memory.get()), nullptr) == Status::invalid_argument, "129 classes");
  check(head_partials(device, head) == 0, "partials of 129 classes");
}

#ifdef MFL_CUDA_SHIM

namespace {

/** All that a block's kernels write, in one order of threads. */
std::vector<char> bits_in(shim::Order order, const Case &c, const Device &device) {
  shim::settings().order = order;
  const DeviceTensor from(noise_tensor(c.shape.grid, c.shape.inputs, c.shape.precision, 1, 1.5), c.shape.precision);
  const DeviceTensor z(c.shape.grid, c.shape.outputs, c.shape.precision), gradient(c.shape.grid, c.shape.inputs, c.shape.precision);
  const DeviceTensor slopes(noise_tensor(c.shape.grid, c.shape.outputs, c.shape.precision, 2, 1), c.shape.precision);
  const Buffer<Coefficients> coefficients(noise_coefficients(c.shape.grid.volumes, std::max(c.shape.inputs, c.shape.outputs), 3));
  const Buffer<float> weights(noise_floats(4, size_t{27} * c.shape.inputs * c.shape.outputs, 0.2)), by_weights(size_t{27} * c.shape.inputs * c.shape.outputs);
  const Buffer<double> partials(std::max(convolution_partials(device, c.shape), weight_gradient_partials(device, c.shape)));
  const Activated input = {from.get(), coefficients.get(), c.activation};
  std::vector<char> all;
  const auto keep = [&](const void *bytes, size_t count) { all.insert(all.end(), static_cast<const char *>(bytes), static_cast<const char *>(bytes) + count); };
  const auto keep_all = [&](const auto &values) { keep(values.data(), values.size() * sizeof values[0]); };
  expect(convolve(nullptr, device, c.shape, input, weights.get(), z.get(), partials.get()));
  keep_all(z.raw());
  const Buffer<Coefficients> made(c.shape.grid.volumes * c.shape.outputs);
  expect(finish_instance_statistics(nullptr, device, c.shape, partials.get(), made.get()));
  keep_all(made.read());
  expect(weight_gradient(nullptr, device, c.shape, input, made.get(), slopes.get(), z.get(), partials.get()));
  expect(finish_weight_gradient(nullptr, device, c.shape, partials.get(), by_weights.get()));
  keep_all(by_weights.read());
  keep_all(z.raw());
  expect(data_gradient(nullptr, device, c.shape, z.get(), weights.get(), input, gradient.get(), partials.get()));
  keep_all(gradient.raw());
  shim::settings().order = shim::Order::forward;
  return all;
}

}  // namespace

TEST("the order in which threads run between barriers does not change a bit") {
  for (Precision precision : {Precision::fp32, Precision::bf16}) {
    const std::vector<Case> cases = {{{{1, 5, 9, 67}, 5, 5, 2, precision}, Activation::elu},
                                     {{{2, 4, 6, 9}, 11, 11, 1, precision}, Activation::gelu},
                                     {{{1, 9, 7, 12}, 3, 3, 4, precision}, Activation::relu}};
    for (const Case &c : cases) {
      for (const Device &device : devices_for()) {
        const std::vector<char> forward = bits_in(shim::Order::forward, c, device);
        check(forward == bits_in(shim::Order::reverse, c, device), c.name() + ": reverse");
        check(forward == bits_in(shim::Order::shuffled, c, device), c.name() + ": shuffled");
      }
    }
  }
}

#endif

}  // namespace mfl::cuda::test
