#include "reference.h"

namespace mfl::cuda::test {

TEST("bytes are divided by 255, floats are taken as they are, and rows end in zeros") {
  const Grid grid = {2, 3, 4, 13};
  const size_t voxels = 2 * 3 * 4 * 13;
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < voxels; i++) bytes.push_back(static_cast<uint8_t>(i * 37));
  const std::vector<float> floats = noise_floats(1, voxels, 3);
  const Buffer<uint8_t> bytes_there(bytes);
  const Buffer<float> floats_there(floats);
  for (Precision precision : {Precision::fp32, Precision::bf16}) {
    const DeviceTensor to(grid, 1, precision);
    for (bool float_images : {false, true}) {
      const void *images = float_images ? static_cast<const void *>(floats_there.get()) : bytes_there.get();
      expect(convert_images(nullptr, grid, images, float_images, precision, to.get()));
      const Tensor got = to.read();
      for (size_t i = 0; i < voxels; i++) {
        const float right = float_images ? floats[i] : static_cast<float>(bytes[i]) / 255.0f;
        check(got.values[i] == round_to(precision, right), "voxel " + std::to_string(i));
      }
    }
  }
}

TEST("labels are counted, the loss weighed by them, and a label that is no class is seen") {
  const Grid grid = {1, 7, 30, 41};
  std::vector<uint8_t> truth(7 * 30 * 41);
  std::vector<unsigned long long> right(256);
  for (size_t i = 0; i < truth.size(); i++) truth[i] = static_cast<uint8_t>(i / 5 % 3);
  for (bool bad : {false, true}) {
    if (bad) truth.back() = 200;
    right.assign(256, 0);
    for (uint8_t label : truth) right[label]++;
    const Buffer<uint8_t> there(truth);
    const Buffer<unsigned long long> counts(256);
    const Buffer<double> loss(std::vector<double>{0.2, 1, 0.8, 0.01});
    const Buffer<LossTerms> terms(1);
    expect(count_labels(nullptr, grid, there.get(), counts.get()));
    expect(prepare_loss(nullptr, 3, counts.get(), loss.get(), terms.get()));
    check(counts.read() == right, "counts");
    const LossTerms got = terms.read()[0];
    const double total = 0.2 * static_cast<double>(right[0]) + static_cast<double>(right[1]) + 0.8 * static_cast<double>(right[2]);
    check(std::abs(got.total - total) < 1e-9 * total && std::abs(got.all - 2) < 1e-12 && got.smoothing == 0.01, "terms");
    check(got.bad_label == (bad ? 1u : 0u), "bad label");
  }
}

TEST("fixed coefficients are those of running statistics, or a bias alone; instance norm has each volume's own") {
  const std::vector<float> running = {0.5f, -1, 2, 0.25f}, bias = {0.1f, 0.2f}, weight = {2, 3}, offset = {-1, 1};
  const Buffer<float> running_there(running), bias_there(bias), weight_there(weight), offset_there(offset);
  const Buffer<Coefficients> to(4);
  const Affine affine = {bias_there.get(), weight_there.get(), offset_there.get(), nullptr, 0};
  expect(fixed_coefficients(nullptr, 2, 2, running_there.get(), affine, to.get()));
  const std::vector<Coefficients> batch = to.read();
  for (uint32_t i = 0; i < 4; i++) {
    const uint32_t c = i % 2;
    const double inverse = 1 / std::sqrt(running[2 + c] + 1e-5);
    check(std::abs(batch[i].scale - weight[c] * inverse) < 1e-6, "scale");
    check(std::abs(batch[i].shift - (offset[c] - weight[c] * inverse * (running[c] - bias[c]))) < 1e-6, "shift");
    check(batch[i].factor == 1, "factor");
  }
  expect(fixed_coefficients(nullptr, 2, 2, nullptr, {bias_there.get(), nullptr, nullptr, nullptr, 0}, to.get()));
  for (uint32_t i = 0; i < 4; i++) check(to.read()[i].scale == 1 && to.read()[i].shift == bias[i % 2], "no norm");

  Device device;
  expect(describe_device(0, &device));
  const Convolution shape = {{2, 9, 6, 5}, 1, 2, 2, Precision::fp32};
  const Tensor image = noise_tensor(shape.grid, 1, shape.precision, 1, 1);
  const DeviceTensor from(image, shape.precision), z(shape.grid, 2, shape.precision);
  const Buffer<float> weights(noise_floats(2, 54, 0.3, 0.1));
  const Buffer<double> partials(convolution_partials(device, shape));
  expect(convolve(nullptr, device, shape, {from.get(), nullptr, Activation::identity}, weights.get(), z.get(), partials.get()));
  expect(finish_instance_statistics(nullptr, device, shape, partials.get(), to.get()));
  const Tensor got = z.read();
  const std::vector<Coefficients> instance = to.read();
  for (uint32_t i = 0; i < 4; i++) {
    double sum = 0, squares = 0;
    for (size_t v = 0; v < 270; v++) {
      sum += got.values[i * 270 + v];
      squares += got.values[i * 270 + v] * got.values[i * 270 + v];
    }
    const double mean = sum / 270, inverse = 1 / std::sqrt(squares / 270 - mean * mean + 1e-5);
    check(std::abs(instance[i].scale - inverse) < 1e-4 * inverse && std::abs(instance[i].shift + mean * inverse) < 1e-4, "instance norm");
  }
}

}  // namespace mfl::cuda::test
