/* The shapes that every convolution is held to: small odd grids, all dilations, all groups of channels. */
#pragma once

#include <functional>

#include "reference.h"

namespace mfl::cuda::test {

struct Case {
  Convolution shape;
  Activation activation;

  std::string name() const {
    const Grid &g = shape.grid;
    const auto text = [](uint32_t number) { return std::to_string(number); };
    return text(shape.inputs) + " -> " + text(shape.outputs) + " channels, dilation " + text(shape.dilation) + ", grid " +
           text(g.volumes) + " x " + text(g.depth) + " " + text(g.height) + " " + text(g.width) + ", activation " +
           text(static_cast<uint32_t>(activation)) + (shape.precision == Precision::bf16 ? ", bf16" : ", fp32");
  }
};

/** Every dilation from 1 to 16 and some beyond, on grids that are no multiple of anything. */
inline std::vector<Case> dilation_cases(Precision precision) {
  std::vector<Case> cases;
  for (uint32_t dilation : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 10u, 11u, 12u, 13u, 14u, 15u, 16u, 23u, 64u}) {
    const Grid grid = dilation % 3 == 0 ? Grid{1, 7, 19, 13} : dilation % 3 == 1 ? Grid{1, 19, 5, 21} : Grid{1, 3, 7, 37};
    cases.push_back({{grid, 5, 5, dilation, precision}, Activation::elu});
  }
  return cases;
}

/** Every group of channels, alone and several of them, and the image's single channel. */
inline std::vector<Case> channel_cases(Precision precision) {
  std::vector<Case> cases;
  for (uint32_t channels : {1u, 2u, 3u, 4u, 6u, 8u, 11u, 16u}) {
    cases.push_back({{{1, 4, 5, 9}, channels, channels, 2, precision}, Activation::elu});
  }
  for (uint32_t outputs : {1u, 2u, 3u, 4u, 5u, 8u}) {
    cases.push_back({{{1, 4, 5, 9}, 1, outputs, 1, precision}, Activation::identity});
  }
  cases.push_back({{{1, 2, 3, 5}, 64, 64, 1, precision}, Activation::relu});
  return cases;
}

/** Several tiles along every axis, several volumes, every activation, single voxels, whole tiles. */
inline std::vector<Case> shape_cases(Precision precision) {
  return {
      {{{1, 3, 9, 131}, 5, 5, 1, precision}, Activation::elu},   {{{1, 2, 37, 70}, 5, 5, 2, precision}, Activation::elu},
      {{{1, 11, 3, 5}, 5, 5, 1, precision}, Activation::relu},   {{{1, 35, 2, 3}, 5, 5, 3, precision}, Activation::elu},
      {{{2, 5, 6, 10}, 5, 5, 2, precision}, Activation::gelu},   {{{3, 3, 4, 8}, 3, 3, 1, precision}, Activation::relu},
      {{{1, 1, 1, 1}, 5, 5, 1, precision}, Activation::elu},     {{{1, 1, 1, 40}, 5, 5, 16, precision}, Activation::elu},
      {{{1, 5, 4, 264}, 5, 5, 16, precision}, Activation::elu},  {{{2, 1, 35, 6}, 4, 4, 1, precision}, Activation::gelu},
      // Nothing but whole tiles: kernels of their own for the default model's channels and activation.
      {{{1, 5, 8, 128}, 5, 5, 1, precision}, Activation::elu},   {{{2, 7, 16, 64}, 5, 5, 2, precision}, Activation::elu},
      {{{1, 3, 128, 64}, 5, 5, 16, precision}, Activation::elu},  {{{1, 5, 32, 128}, 5, 5, 4, precision}, Activation::elu},
      {{{1, 3, 16, 256}, 1, 5, 1, precision}, Activation::identity},  {{{1, 3, 8, 256}, 5, 5, 1, precision}, Activation::elu},
      // Neighbours at dilations that only the narrow tiles take.
      {{{1, 36, 3, 5}, 5, 5, 17, precision}, Activation::elu},   {{{1, 2, 40, 60}, 5, 5, 23, precision}, Activation::elu},
      // Chains longer than what is on its way at a time, in tiles that are cut off.
      {{{1, 9, 9, 136}, 5, 5, 1, precision}, Activation::elu},   {{{2, 12, 19, 136}, 5, 5, 2, precision}, Activation::elu},
      {{{1, 33, 17, 72}, 3, 4, 16, precision}, Activation::elu},  {{{1, 5, 10, 72}, 7, 5, 1, precision}, Activation::elu},
      {{{1, 9, 11, 48}, 6, 9, 3, precision}, Activation::elu},   {{{1, 9, 11, 136}, 1, 5, 1, precision}, Activation::identity},
      {{{1, 5, 9, 139}, 5, 5, 2, precision}, Activation::relu},
  };
}

inline void for_each_case(const std::function<void(const Case &)> &each) {
  for (Precision precision : {Precision::fp32, Precision::bf16}) {
    for (const auto &cases : {dilation_cases(precision), channel_cases(precision), shape_cases(precision)}) {
      for (const Case &one : cases) each(one);
    }
  }
}

/** In units of the root mean square: sums of at most 1,728 products in single precision; and of bf16, whose numbers are within 2^-9: the
 * result's own rounding at four times that size, and on tensor cores a rounding of every factor. */
inline double tolerance(Precision precision) { return precision == Precision::fp32 ? 1e-5 : 3e-2; }

/** This device, and what has to run on it as on the smallest: of capability 7.5, which has no tensor cores for bf16, and with 64 KiB of shared
 * memory a block. */
inline std::vector<Device> devices_for() {
  Device device;
  expect(describe_device(0, &device));
  return {device, {75, 64 * 1024}};
}

}  // namespace mfl::cuda::test
