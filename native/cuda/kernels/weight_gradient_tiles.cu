/* The gradient by a convolution's weights on tensor cores, in bf16 with float sums.
 *
 * A tile's depth is sixteen voxels of a line: its rows are five input channels at three kx, its columns eight outputs. A warp
 * walks along a chain of planes with sixteen voxels x 8 lines of three planes of the gradient in registers; every tile of inputs
 * that it makes of a plane serves all nine (kz, ky), whose sums stay in registers to the end of the item.
 *
 * A plane comes in three steps, so that nothing waits for memory: while one is multiplied, the next is being copied to where its own
 * thread alone will read it; that thread activates it, or takes it through the normalisation, into one of two buffers that all
 * read, and begins to copy the one after. What lies outside the grid is zero in both buffers from the start and is not touched again. */
#include "weight_gradient_block.h"

namespace mfl::cuda {

namespace {

__host__ __device__ inline uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/** A block's way along its chain. `even`: so is the dilation, and pairs of voxels lie in words. */
template <class B, bool made, bool even>
struct Walk {
  /** Halves from a lane's first pair of a depth of sixteen to its second, and from one lane's pairs to the next. Any order of the sixteen
   * will do as long as both factors have the same: four neighbours to a lane where they must be shifted out of three words. */
  static constexpr uint32_t second_pair = even ? 8 : 2, of_lane = even ? 2 : 4;

  const Products &p;
  const Shared shared{};
  const uint32_t first_input, first_output, inputs, outputs;
  /** Bytes of a buffer where the lane's rows of tiles begin, upper and lower, and its column; bits that a row begins within its word. */
  uint32_t upper, lower, column, upper_shift, lower_shift;
  /** Planes of inputs and of the gradient that the item has. */
  const int inputs_begin, inputs_end, gradient_begin, gradient_end;
  /** The next plane of inputs to be copied. */
  const uint4 *from;
  /** The chunk of z that this thread makes next, in every other output, and how many of its voxels lie in the grid. */
  uint4 *z;
  int gradient_valid;
  /** Outputs from its first on, of which this thread makes every other; bytes where their chunks are copied to and, within a buffer, left,
   * and of their coefficients. */
  uint32_t gradients, raw_at, gradient_to, coefficients_at;
  /** Chunks from one plane of the chain to the next; of a plane of inputs. */
  uint32_t step, chunks = 0;
  float sums[9][4] = {};
  /** [plane modulo 3][line][pair] */
  uint32_t gradient[3][lines][2] = {};

  __device__ __forceinline__ Walk(const Products &products, const Place &place, uint32_t first_input, uint32_t first_output)
      : p(products),
        first_input(first_input),
        first_output(first_output),
        inputs(least(tile_inputs, products.inputs - first_input)),
        outputs(least(B::outputs, products.outputs - first_output)),
        inputs_begin(place.z_first > 0 ? place.z_first - 1 : 0),
        inputs_end(place.z_end < place.z_count ? place.z_end + 1 : place.z_count),
        gradient_begin(place.z_first),
        gradient_end(place.z_end) {
    const uint32_t warp = threadIdx.x / warp_size, lane = threadIdx.x % warp_size;
    const Tiling &t = p.tiling;
    const uint32_t first = warp * tile_depth + lane % 4 * of_lane;
    const auto at_row = [&](uint32_t m, uint32_t *shift) {
      const Row row = row_of(static_cast<int>(m));
      // Rows of channels that there are none of are left out in the end; they only have to read something.
      const uint32_t channel = static_cast<uint32_t>(row.channel) < inputs ? row.channel : 0;
      const uint32_t voxel = channel * B::input_stride + B::padding + first + row.kx * t.dilation - t.dilation;
      *shift = voxel % 2 * 16;
      return keep(voxel / 2 * 4);
    };
    upper = at_row(lane / 4, &upper_shift);
    lower = at_row(lane / 4 + 8, &lower_shift);
    // Columns likewise; those beyond four begin in the banks of the first.
    const uint32_t output = lane / 4 < outputs ? lane / 4 : lane / 4 % 4 < outputs ? lane / 4 % 4 : 0;
    column = keep(B::gradients_at + 2 * (output * B::gradient_stride + first));

    const uint32_t position = threadIdx.x % B::columns, of_line = B::columns / chunk;
    const int k = place.y_first + static_cast<int>(position / of_line), x = place.x_first + static_cast<int>(position % of_line * chunk);
    gradient_valid = k < place.y_count ? static_cast<int>(t.width) - x : 0;
    const uint32_t half = threadIdx.x / B::columns;
    gradients = gradient_valid > 0 && half < outputs ? outputs - half : 0;
    raw_at = B::raw_z_at + 16 * threadIdx.x;
    gradient_to = keep(B::gradients_at + 2 * half * B::gradient_stride + 16 * position);
    coefficients_at = B::coefficients_at + half * static_cast<uint32_t>(sizeof(Coefficients));
    // Overflows only where a chain has no second plane.
    step = keep(t.dilation * (t.height * t.pitch / chunk));
    const ptrdiff_t channel = t.channel / chunk, volume = place.volume, plane = t.height * t.pitch / chunk;
    const ptrdiff_t before = place.z_residue * plane + (place.z_first - 1) * static_cast<ptrdiff_t>(step);
    from = static_cast<const uint4 *>(p.from.z) + (volume * p.inputs + first_input) * channel + before;
    const ptrdiff_t line = place.y_residue + k * static_cast<ptrdiff_t>(t.dilation);
    z = static_cast<uint4 *>(p.z) + (volume * p.outputs + first_output + half) * channel + before + (line * t.pitch + x) / chunk;
  }

  __device__ __forceinline__ Scaling *scalings() const { return reinterpret_cast<Scaling *>(shared.at(B::scalings_at)); }
  __device__ __forceinline__ Coefficients *coefficients() const { return reinterpret_cast<Coefficients *>(shared.at(B::coefficients_at)); }

  /** The channels' scalings and coefficients; of `some` planes also zeros, and the table of what a plane of inputs has in the grid:
   * (channel, chunk) = where in the volume's channels, and bytes within a buffer | bytes within scalings << 16 | voxels in the grid << 24.
   * A barrier must follow. */
  __device__ __forceinline__ void prepare(const Place &place, bool some) {
    const Tiling &t = p.tiling;
    if (threadIdx.x < inputs) {
      const Coefficients *const of_inputs = p.from.coefficients;
      scalings()[threadIdx.x] = scaling_of(of_inputs ? of_inputs + (place.volume * p.inputs + first_input + threadIdx.x) : nullptr);
    }
    if (made && threadIdx.x < outputs) coefficients()[threadIdx.x] = p.coefficients[place.volume * p.outputs + first_output + threadIdx.x];
    if (!some) return;
    for (uint32_t i = threadIdx.x; i < B::raw_inputs_at / 16; i += B::threads) *reinterpret_cast<uint4 *>(shared.at(16 * i)) = {0, 0, 0, 0};
    const uint32_t wide = divide_up(t.dilation, chunk) * chunk, before = least(wide, place.x_first);
    const uint32_t end = least(divide_up(t.width, chunk) * chunk, place.x_first + B::columns + wide);
    const uint32_t x_first = place.x_first - before, of_line = (end - x_first) / chunk;
    const uint32_t k_first = place.y_first > 0 ? place.y_first - 1 : 0, k_end = least(place.y_count, place.y_first + lines + 1);
    const uint32_t positions = (k_end - k_first) * of_line;
    for (uint32_t position = threadIdx.x; position < positions; position += B::threads) {
      const uint32_t k = k_first + position / of_line, x = x_first + position % of_line * chunk;
      const uint32_t to = 2 * ((k + 1 - place.y_first) * B::pitch + B::padding + x - place.x_first);
      const uint32_t at = ((place.y_residue + k * t.dilation) * t.pitch + x) / chunk, valid = least(chunk, t.width - x);
      for (uint32_t c = 0; c < inputs; c++) {
        *reinterpret_cast<uint2 *>(shared.at(B::table_at + 8 * (c * positions + position))) = {
            c * (t.channel / chunk) + at, (to + 2 * c * B::input_stride) | static_cast<uint32_t>(c * sizeof(Scaling)) << 16 | valid << 24};
      }
    }
    chunks = inputs * positions;
  }

  __device__ __forceinline__ bool has_inputs(int link) const { return link >= inputs_begin && link < inputs_end; }
  __device__ __forceinline__ bool has_gradient(int link) const { return link >= gradient_begin && link < gradient_end; }
  /** Whether no chunk reaches beyond the grid. */
  __device__ __forceinline__ bool has_whole_chunks() const { return p.tiling.width % chunk == 0; }

  /** Chunk i of what has been copied of a plane of inputs, into a buffer, activated but for the factor; and begins to copy that of the
   * plane after. `usual`: it does both, the activation is the ELU, and all eight voxels lie in the grid. */
  template <bool usual>
  __device__ __forceinline__ void stage_input(uint32_t i, uint32_t to, bool ready, bool more) const {
    const uint2 entry = *reinterpret_cast<const uint2 *>(shared.at(B::table_at + 8 * i));
    uint4 *const raw = reinterpret_cast<uint4 *>(shared.at(B::raw_inputs_at + 16 * i));
    if (usual || ready) {
      const Activation activation = usual ? Activation::elu : p.from.activation;
      float values[8];
      widen_all(*raw, values);
      if (activation != Activation::identity) {
        const Scaling k = *reinterpret_cast<const Scaling *>(shared.at(B::scalings_at + (entry.y >> 16 & 0xff)));
#pragma unroll
        for (int j = 0; j < 8; j++) values[j] = multiply_add(values[j], k.scale, k.shift);
        activate_all(activation, 1.0f, values);
      }
      const int valid = usual ? static_cast<int>(chunk) : static_cast<int>(entry.y >> 24);
      *reinterpret_cast<uint4 *>(shared.at(to + (entry.y & 0xffff))) = narrow_all(values, valid);
    }
    if (usual || more) copy_async(raw, from + entry.x);
  }

  __device__ __forceinline__ void stage_inputs(int link, uint32_t buffer) {
    const bool ready = has_inputs(link), more = has_inputs(link + 1);
    const uint32_t to = buffer * B::inputs_bytes;
    // The first half of the threads may have one chunk of the gradient more.
    const uint32_t first = threadIdx.x ^ B::columns;
    if (ready && more && p.from.activation == Activation::elu && has_whole_chunks()) {
#pragma unroll 1
      for (uint32_t i = first; i < chunks; i += B::threads) stage_input<true>(i, to, true, true);
    } else {
#pragma unroll 1
      for (uint32_t i = first; i < chunks; i += B::threads) stage_input<false>(i, to, ready, more);
    }
    from += step;
  }

  /** The same of chunk i of the gradient by z that this thread makes, from z and the gradient, and leaves in the place of z too; only of
   * z when it was made before. */
  template <bool usual>
  __device__ __forceinline__ void stage_gradient(uint32_t i, uint4 *own, uint32_t to, bool ready, bool more) const {
    uint4 *const raw = reinterpret_cast<uint4 *>(shared.at(raw_at + 16 * i * B::threads)), *const raw_gradient = raw + B::gradient_chunks;
    // The planes before and after the item's count as zero.
    uint4 words = {0, 0, 0, 0};
    if (usual || ready) {
      words = *raw;
      if (made) {
        const Coefficients &k = *reinterpret_cast<const Coefficients *>(shared.at(coefficients_at + 2 * i * sizeof(Coefficients)));
        const float by_slope = k.by_slope, by_z = k.by_z, constant = k.constant;
        float values[8], slopes[8];
        widen_all(words, values);
        widen_all(*raw_gradient, slopes);
#pragma unroll
        for (int j = 0; j < 8; j++) values[j] = multiply_add(by_slope, slopes[j], multiply_add(by_z, values[j], constant));
        words = narrow_all(values, usual ? static_cast<int>(chunk) : gradient_valid);
        *own = words;
      }
    }
    *reinterpret_cast<uint4 *>(shared.at(to + 4 * i * B::gradient_stride)) = words;
    if (usual || more) {
      const uint4 *const next = own + step;
      copy_async(raw, next);
      if (made) {
        const uintptr_t from_z = reinterpret_cast<uintptr_t>(p.gradient) - reinterpret_cast<uintptr_t>(p.z);
        copy_async(raw_gradient, reinterpret_cast<const uint4 *>(reinterpret_cast<uintptr_t>(next) + from_z));
      }
    }
  }

  __device__ __forceinline__ void stage_gradients(int link, uint32_t buffer) {
    const bool ready = has_gradient(link), more = has_gradient(link + 1);
    const uint32_t to = gradient_to + buffer * B::gradients_bytes;
    uint4 *own = z;
    if (ready && more && has_whole_chunks()) {
#pragma unroll
      for (uint32_t i = 0; i < divide_up(B::outputs, 2); i++, own += p.tiling.channel / chunk * 2) {
        if (2 * i < gradients) stage_gradient<true>(i, own, to, true, true);
      }
    } else {
#pragma unroll 1
      for (uint32_t i = 0; 2 * i < gradients; i++, own += p.tiling.channel / chunk * 2) stage_gradient<false>(i, own, to, ready, more);
    }
    z += step;
  }

  /** A lane's pairs of a row. */
  __device__ __forceinline__ void load_row(uint32_t at, uint32_t shift, uint32_t &first, uint32_t &second) const {
    const uint32_t *const words = reinterpret_cast<const uint32_t *>(shared.at(at));
    first = words[0];
    second = words[second_pair / 2];
    if (even) return;
    const uint32_t middle = second, last = words[2];
    first = static_cast<uint32_t>((static_cast<uint64_t>(middle) << 32 | first) >> shift);
    second = static_cast<uint32_t>((static_cast<uint64_t>(last) << 32 | middle) >> shift);
  }

  /** Sums += the products of a plane of inputs and three of the gradient, of which that after it is loaded in place of the oldest, S. */
  template <int S>
  __device__ __forceinline__ void multiply(uint32_t buffer, bool some_inputs) {
    const uint32_t own = column + buffer * B::gradients_bytes;
#pragma unroll
    for (int line = 0; line < static_cast<int>(lines); line++) {
      const uint32_t *const words = reinterpret_cast<const uint32_t *>(shared.at(own + 2 * line * B::columns));
      const uint2 both = even ? uint2{words[0], words[second_pair / 2]} : *reinterpret_cast<const uint2 *>(words);
      gradient[S][line][0] = both.x;
      gradient[S][line][1] = both.y;
    }
    if (!some_inputs) return;
    const uint32_t above = upper + buffer * B::inputs_bytes, below = lower + buffer * B::inputs_bytes;
#pragma unroll
    for (int i = 0; i < static_cast<int>(lines) + 2; i++) {
      uint32_t tile[4];
      load_row(above + 2 * i * B::pitch, upper_shift, tile[0], tile[2]);
      load_row(below + 2 * i * B::pitch, lower_shift, tile[1], tile[3]);
#pragma unroll
      for (int ky = 0; ky < 3; ky++) {
        const int line = i - ky;
        if (line < 0 || line >= static_cast<int>(lines)) continue;
#pragma unroll
        for (int kz = 0; kz < 3; kz++) tile_mma(sums[kz * 3 + ky], tile, gradient[(S + 3 - kz) % 3][line]);
      }
    }
  }

  __device__ __forceinline__ void walk() {
    const int first = gradient_begin - 1;
    uint32_t buffer = 0;
    int turn = 1;
    // At first there is nothing to multiply, then nothing that has been copied.
    for (int link = first - 2; link <= gradient_end; link++) {
      if (link >= first) {
        const bool some_inputs = has_inputs(link);
        switch (turn) {
          case 0: multiply<0>(buffer, some_inputs); break;
          case 1: multiply<1>(buffer, some_inputs); break;
          default: multiply<2>(buffer, some_inputs); break;
        }
      }
      turn = turn == 2 ? 0 : turn + 1;
      buffer ^= 1;
      wait_for_copies();
      stage_inputs(link + 1, buffer);
      stage_gradients(link + 2, buffer);
      __syncthreads();
    }
  }
};

/** partials (items, Co, Ci, 27). Overwrites, z as well when made. */
template <class B, bool made, bool even>
__global__ void __launch_bounds__(B::threads, 2)
    weight_gradient_tiles_kernel(const __grid_constant__ Products p, double *partials) {
  const Place &place = shared_place(p.tiling);
  const uint32_t groups = tile_chunks(p.inputs);
  const uint32_t first_input = blockIdx.y % groups * tile_inputs, first_output = blockIdx.y / groups * B::outputs;
  Walk<B, made, even> walk(p, place, first_input, first_output);
  const bool some = place.z_first < place.z_end && place.y_first < place.y_count;
  walk.prepare(place, some);
  __syncthreads();
  if (some) walk.walk();

  const uint32_t warp = threadIdx.x / warp_size, lane = threadIdx.x % warp_size;
  constexpr uint32_t tile = tile_rows * tile_columns;
  float *const of_warps = reinterpret_cast<float *>(shared_memory());
#pragma unroll
  for (int tap = 0; tap < 9; tap++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      of_warps[(warp * 9 + tap) * tile + (lane / 4 + i / 2 * 8) * tile_columns + lane % 4 * 2 + i % 2] = walk.sums[tap][i];
    }
  }
  __syncthreads();
  double *const to = partials + static_cast<size_t>(blockIdx.x) * p.outputs * p.inputs * 27;
  for (uint32_t i = threadIdx.x; i < 9 * tile; i += B::threads) {
    const uint32_t m = i / tile_columns % tile_rows, output = i % tile_columns;
    const Row row = row_of(static_cast<int>(m));
    if (m == 15 || static_cast<uint32_t>(row.channel) >= walk.inputs || output >= walk.outputs) continue;
    double sum = 0;
#pragma unroll
    for (uint32_t w = 0; w < B::warps; w++) sum += of_warps[w * 9 * tile + i];
    const uint32_t pair = (first_output + output) * p.inputs + first_input + row.channel;
    to[pair * 27 + i / tile * 3 + row.kx] = sum * walk.scalings()[row.channel].factor;
  }
}

enum class Cut { wide, half, narrow };

Cut cut_of(uint32_t width, uint32_t outputs, uint32_t dilation) {
  if (dilation > Wide::padding) return Cut::narrow;
  return width > Half::columns && outputs <= Wide::outputs ? Cut::wide : Cut::half;
}

uint32_t groups_of(uint32_t inputs, uint32_t outputs) { return tile_chunks(inputs) * divide_up(outputs, tile_columns); }

template <class B, bool made, bool even>
Status start(cudaStream_t stream, const Products &p, double *partials) {
  const dim3 grid(p.tiling.items(), groups_of(p.inputs, p.outputs));
  return launch(stream, grid, dim3(B::threads), B::bytes, weight_gradient_tiles_kernel<B, made, even>, p, partials);
}

}  // namespace

Tiling product_tiles_tiling(const Convolution &shape) {
  const Cut cut = cut_of(shape.grid.width, shape.outputs, shape.dilation);
  const uint32_t columns = cut == Cut::wide ? Wide::columns : cut == Cut::half ? Half::columns : Narrow::columns;
  return tiling_of(shape.grid, shape.dilation, columns, lines);
}

bool is_one_group_of_tiles(const Convolution &shape) { return groups_of(shape.inputs, shape.outputs) == 1; }

Status multiply_tiles(cudaStream_t stream, const Products &p, double *partials) {
  const uint32_t dilation = p.tiling.dilation;
  const bool made = groups_of(p.inputs, p.outputs) == 1;
  switch (cut_of(p.tiling.width, p.outputs, dilation)) {
    case Cut::wide:
      if (!made) return start<Wide, false, false>(stream, p, partials);
      return dilation % 2 == 0 ? start<Wide, true, true>(stream, p, partials) : start<Wide, true, false>(stream, p, partials);
    case Cut::half: return made ? start<Half, true, false>(stream, p, partials) : start<Half, false, false>(stream, p, partials);
    default: return made ? start<Narrow, true, false>(stream, p, partials) : start<Narrow, false, false>(stream, p, partials);
  }
}

}  // namespace mfl::cuda
