/* What the weight gradient multiplies, on its way into shared memory: planes of the activated input, and of the gradient by z. Some warps of a
 * block do nothing else, so that their waiting costs the multiplying warps nothing. A thread makes in place what it copied itself. What
 * lies outside the grid is zero in shared memory from the beginning and never written. */
#pragma once

#include "async_copy.h"
#include "products.h"

namespace mfl::cuda {

/** How shared memory is laid out, in constants, so that addresses are immediate: blocks of columns x rows, `pitch` floats from one line of inputs
 * to the next, `ahead` planes on their way. Of dilations up to 16, where it fits the deep one; the narrow one of any dilation. */
template <int columns_, int rows_, int pitch_, int ahead_, bool tabled_>
struct Layout {
  static constexpr int columns = columns_, rows = rows_, pitch = pitch_, ahead = ahead_;
  /** Whether a making thread looks up its quads in shared memory instead of keeping them in registers. */
  static constexpr bool tabled = tabled_;
  /** Floats of a channel of a plane of inputs, and its quads, at most. */
  static constexpr int input_plane = (rows + 2) * pitch, most_quads = input_plane / 4;
  /** Floats of a channel of a plane of the gradient. */
  static constexpr int gradient_plane = columns * rows;
  /** Planes in shared memory: those that are multiplied, and those on their way. */
  static constexpr int input_planes = 1 + ahead, gradient_planes = 3 + ahead;
};
using Deep = Layout<64, 8, 96, 2, true>;
using Wide = Layout<64, 8, 96, 1, false>;
using Narrow = Layout<32, 4, 160, 1, false>;

/** A quad that a making thread copies from every plane. */
struct alignas(8) OwnQuad {
  /** Elements from the beginning of the plane in the tensor. */
  uint32_t from;
  /** Floats from the beginning of the planes of all channels in shared memory. */
  uint16_t to;
  /** How many of the four lie in the grid: none where the thread has nothing to copy. */
  uint8_t channel, valid;
};

/** A block of CI inputs and G outputs. */
template <class Shape, int CI, int G>
struct Block {
  /** Warps that share the columns of an input channel and kz: an image has few channels. */
  static constexpr int splits = CI == 1 ? Shape::columns / warp_size : 1;
  /** Warps that multiply, and warps that make what they multiply: with five inputs, as many as a scheduler has registers for. */
  static constexpr int multipliers = 3 * CI * splits, makers = CI == 5 ? 5 : 4;
  static constexpr int threads = warp_size * (multipliers + makers), maker_threads = warp_size * makers;
  /** Quads that a making thread has in a plane, at most. */
  static constexpr int input_slots = (CI * Shape::most_quads + maker_threads - 1) / maker_threads;
  static constexpr int gradient_slots = (G * Shape::gradient_plane / 4 + maker_threads - 1) / maker_threads;
  /** Floats of all planes in shared memory, and of those of z that the gradients on their way are made from. */
  static constexpr int inputs = Shape::input_planes * CI * Shape::input_plane, gradients = Shape::gradient_planes * G * Shape::gradient_plane;
  static constexpr int zs = Shape::ahead * G * Shape::gradient_plane;
  static constexpr uint32_t bytes = sizeof(float) * (inputs + gradients + zs) + (Shape::tabled ? sizeof(OwnQuad) * (input_slots + gradient_slots) * maker_threads : 0);

  __device__ __forceinline__ static float *inputs_of(int link) {
    return reinterpret_cast<float *>(shared_memory()) + static_cast<uint32_t>(link) % Shape::input_planes * CI * Shape::input_plane;
  }
  __device__ __forceinline__ static float *gradients_of(int link) {
    return reinterpret_cast<float *>(shared_memory()) + inputs + static_cast<uint32_t>(link) % Shape::gradient_planes * G * Shape::gradient_plane;
  }
  __device__ __forceinline__ static float *zs_of(int link) {
    return reinterpret_cast<float *>(shared_memory()) + inputs + gradients + static_cast<uint32_t>(link) % Shape::ahead * G * Shape::gradient_plane;
  }
  __device__ __forceinline__ static uint2 *table() { return reinterpret_cast<uint2 *>(reinterpret_cast<float *>(shared_memory()) + inputs + gradients + zs); }
};

/** made: the gradient by z is still to be made, from z and from that by normalised, scaled values, and left in the place of z. */
template <class T, class Shape, int CI, int G, bool made, Compiled known>
struct PlaneMaker {
  using B = Block<Shape, CI, G>;

  const Products &p;
  const Place &place;
  const Scaling *const scalings;
  const Coefficients *const backwards;
  /** Elements before the block's first channels in the tensors. */
  const size_t first_input, first_output;
  const int me;
  OwnQuad inputs[B::input_slots], gradients[B::gradient_slots];

  /** thread: of the making ones. input_count, output_count: channels that there are, from the first of the block on. */
  __device__ __forceinline__ PlaneMaker(const Products &products, const Place &at, const Scaling *scale, const Coefficients *back, int thread,
                                        uint32_t input, int input_count, uint32_t output, int output_count)
      : p(products),
        place(at),
        scalings(scale),
        backwards(back),
        first_input((static_cast<size_t>(at.volume) * products.inputs + input) * products.tiling.channel),
        first_output((static_cast<size_t>(at.volume) * products.outputs + output) * products.tiling.channel),
        me(thread) {
    const Tiling &t = p.tiling;
    const int quads = static_cast<int>(march_quads(t));
#pragma unroll
    for (int s = 0; s < B::input_slots; s++) {
      const int i = me + s * B::maker_threads, c = i / quads;
      inputs[s] = {0, 0, 0, 0};
      if (c >= input_count) continue;
      const Fetch fetch = fetch_of(t, place, i % quads, Shape::pitch);
      inputs[s] = {fetch.from, static_cast<uint16_t>(c * Shape::input_plane + fetch.to), static_cast<uint8_t>(c), fetch.valid};
    }
#pragma unroll
    for (int s = 0; s < B::gradient_slots; s++) {
      constexpr int row = Shape::columns / 4;
      const int i = me + s * B::maker_threads, g = i / (Shape::gradient_plane / 4), line = i / row % Shape::rows, column = i % row * 4;
      const int k = place.y_first + line, x = place.x_first + column, left = static_cast<int>(t.width) - x;
      gradients[s] = {0, 0, 0, 0};
      if (g >= output_count || k >= place.y_count || left <= 0 || column >= static_cast<int>(t.columns)) continue;
      gradients[s] = {(place.y_residue + k * t.dilation) * t.pitch + x, static_cast<uint16_t>(4 * i), static_cast<uint8_t>(g),
                      static_cast<uint8_t>(left < 4 ? left : 4)};
    }
    if (!Shape::tabled) return;
#pragma unroll
    for (int s = 0; s < B::input_slots; s++) keep(s, inputs[s]);
#pragma unroll
    for (int s = 0; s < B::gradient_slots; s++) keep(B::input_slots + s, gradients[s]);
  }

  /** In the table, where only this thread reads it. */
  __device__ __forceinline__ void keep(int entry, const OwnQuad &s) const {
    B::table()[entry * B::maker_threads + me] = {s.from, s.to | static_cast<uint32_t>(s.channel) << 16 | static_cast<uint32_t>(s.valid) << 24};
  }
  __device__ __forceinline__ static OwnQuad look_up(int entry, int me) {
    const uint2 words = B::table()[entry * B::maker_threads + me];
    return {words.x, static_cast<uint16_t>(words.y), static_cast<uint8_t>(words.y >> 16), static_cast<uint8_t>(words.y >> 24)};
  }
  __device__ __forceinline__ OwnQuad input(int s) const { return Shape::tabled ? look_up(s, me) : inputs[s]; }
  __device__ __forceinline__ OwnQuad gradient(int s) const { return Shape::tabled ? look_up(B::input_slots + s, me) : gradients[s]; }

  __device__ __forceinline__ void fetch_inputs(int link) const {
    const T *const from = static_cast<const T *>(p.from.z) + first_input + plane_at(p.tiling, place, link);
    float *const to = B::inputs_of(link);
#pragma unroll
    for (int i = 0; i < B::input_slots; i++) {
      const OwnQuad s = input(i);
      if (s.valid == 0) continue;
      const T *const own = from + s.channel * static_cast<size_t>(p.tiling.channel) + s.from;
      copy_async(reinterpret_cast<Quad<T> *>(to + s.to), reinterpret_cast<const Quad<T> *>(own));
    }
  }

  __device__ __forceinline__ void make_inputs(int link) const {
    const Activation activation = activation_of<known>(p.from.activation);
    if (activation == Activation::identity && sizeof(T) == sizeof(float)) return;
    float *const to = B::inputs_of(link);
    // A few at a time, so that what one waits for hides what the others do. Those of nothing read what is there.
    constexpr int batch = B::input_slots < 4 ? B::input_slots : 4;
#pragma unroll
    for (int first = 0; first < B::input_slots; first += batch) {
      float values[batch][4];
      OwnQuad slots[batch];
#pragma unroll
      for (int i = 0; i < batch && first + i < B::input_slots; i++) slots[i] = input(first + i);
#pragma unroll
      for (int i = 0; i < batch && first + i < B::input_slots; i++) reinterpret_cast<const Quad<T> *>(to + slots[i].to)->widen_to(values[i]);
#pragma unroll
      for (int i = 0; i < batch && first + i < B::input_slots; i++) {
        const OwnQuad &s = slots[i];
        if (s.valid == 0) continue;
        activate_quad(activation, scalings[s.channel], s.valid, values[i]);
        *reinterpret_cast<float4 *>(to + s.to) = {values[i][0], values[i][1], values[i][2], values[i][3]};
      }
    }
  }

  __device__ __forceinline__ void fetch_gradients(int link) const {
    const size_t first = first_output + plane_at(p.tiling, place, link);
    float *const to = B::gradients_of(link), *const z_to = made ? B::zs_of(link) : to;
#pragma unroll
    for (int i = 0; i < B::gradient_slots; i++) {
      const OwnQuad s = gradient(i);
      if (s.valid == 0) continue;
      const size_t from = first + s.channel * static_cast<size_t>(p.tiling.channel) + s.from;
      copy_async(reinterpret_cast<Quad<T> *>(z_to + s.to), reinterpret_cast<const Quad<T> *>(static_cast<const T *>(p.z) + from));
      if (made) copy_async(reinterpret_cast<Quad<T> *>(to + s.to), reinterpret_cast<const Quad<T> *>(static_cast<const T *>(p.gradient) + from));
    }
  }

  __device__ __forceinline__ void make_gradients(int link) const {
    if (!made && sizeof(T) == sizeof(float)) return;
    const size_t first = first_output + plane_at(p.tiling, place, link);
    float *const to = B::gradients_of(link);
    const float *const z_from = made ? B::zs_of(link) : to;
#pragma unroll
    for (int i = 0; i < B::gradient_slots; i++) {
      const OwnQuad s = gradient(i);
      if (s.valid == 0) continue;
      float values[4];
      reinterpret_cast<const Quad<T> *>(z_from + s.to)->widen_to(values);
      if (made) {
        float slopes[4];
        reinterpret_cast<const Quad<T> *>(to + s.to)->widen_to(slopes);
        through_normalisation<T>(backwards[s.channel], s.valid, slopes, values);
        store_quad(static_cast<T *>(p.z) + first + s.channel * static_cast<size_t>(p.tiling.channel) + s.from, values);
      }
      *reinterpret_cast<float4 *>(to + s.to) = {values[0], values[1], values[2], values[3]};
    }
  }

  /** Makes what every plane of inputs from `begin` to `last` meets, a barrier after each: of inputs the plane, of the gradient its neighbours.
   * Multipliers wait at the same barriers. */
  __device__ __forceinline__ void walk(int begin, int last) const {
    const auto fetch = [&](int link) {
      if (link <= last) fetch_inputs(link);
      if (link + 1 < place.z_end) fetch_gradients(link + 1);
      close_copies();
    };
    // Those that the first meets, one after the other: of the gradient they may share the place of z.
    fetch_inputs(begin);
    for (int of = place.z_first; of <= begin + 1 && of < place.z_end; of++) {
      fetch_gradients(of);
      wait_for_copies();
      make_gradients(of);
    }
    wait_for_copies();
    make_inputs(begin);
    for (int link = begin + 1; link < begin + Shape::ahead; link++) fetch(link);
    __syncthreads();
    for (int link = begin; link <= last; link++) {
      fetch(link + Shape::ahead);
      wait_for_copies_but<Shape::ahead - 1>();
      if (link < last) make_inputs(link + 1);
      if (link + 2 < place.z_end) make_gradients(link + 2);
      __syncthreads();
    }
  }
};

}  // namespace mfl::cuda
