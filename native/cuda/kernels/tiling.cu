#include "tiling.h"

#include <algorithm>

namespace mfl::cuda {

namespace {

// Enough blocks for four waves of two on every processor of the largest GPUs, whose last wave is then nearly full.
constexpr uint32_t enough_items = 1024;
// Each segment of a chain loads two planes more than it has.
constexpr uint32_t most_links = 32, fewest_links = 4;

}  // namespace

uint32_t row_pitch(uint32_t width) { return divide_up(width, 8) * 8; }

bool is_valid(const Grid &grid) {
  if (grid.volumes == 0 || grid.depth == 0 || grid.height == 0 || grid.width == 0) return false;
  if (grid.volumes > 65535 || grid.depth > 65535 || grid.height > 65535 || grid.width > 65535) return false;
  return static_cast<uint64_t>(grid.depth) * grid.height * row_pitch(grid.width) < uint64_t{1} << 31;
}

bool is_valid(const Convolution &shape) {
  const auto channels = [](uint32_t count) { return count >= 1 && count <= most_channels; };
  return is_valid(shape.grid) && channels(shape.inputs) && channels(shape.outputs) && shape.dilation >= 1 &&
         shape.dilation <= most_dilation && (shape.precision == Precision::fp32 || shape.precision == Precision::bf16);
}

size_t tensor_bytes(const Grid &grid, uint32_t channels, Precision precision) {
  if (!is_valid(grid) || channels == 0 || channels > most_channels) return 0;
  const size_t element = precision == Precision::bf16 ? 2 : 4;
  return element * grid.volumes * channels * grid.depth * grid.height * row_pitch(grid.width);
}

Tiling tiling_of(const Grid &grid, uint32_t dilation, uint32_t columns, uint32_t rows) {
  Tiling t = {};
  t.volumes = grid.volumes;
  t.depth = grid.depth;
  t.height = grid.height;
  t.width = grid.width;
  t.pitch = row_pitch(grid.width);
  t.dilation = dilation;
  t.columns = columns;
  t.rows = rows;
  t.padding = divide_up(dilation, 4) * 4;
  t.channel = grid.depth * grid.height * t.pitch;
  t.x_tiles = divide_up(grid.width, columns);
  t.y_classes = std::min(dilation, grid.height);
  t.y_tiles = divide_up(divide_up(grid.height, dilation), rows);
  t.z_classes = std::min(dilation, grid.depth);
  const uint32_t chain = divide_up(grid.depth, dilation);
  for (t.links = most_links;; t.links /= 2) {
    t.z_segments = divide_up(chain, t.links);
    if (t.links == fewest_links || t.items() >= enough_items) return t;
  }
}

}  // namespace mfl::cuda
