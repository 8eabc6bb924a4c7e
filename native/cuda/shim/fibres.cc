#include "fibres.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "context.h"
#include "runtime.h"

namespace mfl::shim {

Index3 grid_size, block_size, block_index, thread_index;

namespace {

constexpr size_t stack_bytes = 256 * 1024;
constexpr unsigned warp_size = 32;
constexpr size_t slot_bytes = 64;

enum class State { ready, at_warp, at_block, done };

struct Fibre {
  Context context;
  State state;
  Index3 index;
  unsigned exchanges;
};

struct Warp {
  unsigned lanes, arrived;
  alignas(64) char slots[2][warp_size * slot_bytes];
};

struct Block {
  std::vector<Fibre> fibres;
  std::vector<Warp> warps;
  std::vector<unsigned> order;
  unsigned arrived, current;
  Context scheduler;
  const std::function<void()> *body;
  char *stacks = nullptr;
  size_t stack_count = 0;
  std::unique_ptr<char[]> shared;
  size_t shared_bytes = 0;
};
Block block;

[[noreturn]] void stop(const char *what) {
  std::fprintf(stderr, "block (%u, %u, %u): %s\n", block_index.x, block_index.y, block_index.z, what);
  std::abort();
}

void leave(State state) {
  Fibre &fibre = block.fibres[block.current];
  fibre.state = state;
  switch_context(fibre.context, block.scheduler);
}

void enter_fibre() {
  (*block.body)();
  leave(State::done);
}

char *stack_of(unsigned thread) { return block.stacks + thread * stack_bytes; }

void reserve_stacks(size_t count) {
  if (count <= block.stack_count) return;
  if (block.stacks) munmap(block.stacks, block.stack_count * stack_bytes);
  void *memory = mmap(nullptr, count * stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) stop("no memory for the threads' stacks");
  block.stacks = static_cast<char *>(memory);
  block.stack_count = count;
}

void order_threads(unsigned count) {
  block.order.resize(count);
  for (unsigned i = 0; i < count; i++) block.order[i] = settings().order == Order::reverse ? count - 1 - i : i;
  if (settings().order != Order::shuffled) return;
  static std::mt19937 random(7);
  for (unsigned i = count; i > 1; i--) std::swap(block.order[i - 1], block.order[random() % i]);
}

void begin_block(unsigned count) {
  block.arrived = 0;
  for (unsigned thread = 0; thread < count; thread++) {
    Fibre &fibre = block.fibres[thread];
    fibre.state = State::ready;
    fibre.exchanges = 0;
    fibre.index = {thread % block_size.x, thread / block_size.x % block_size.y, thread / block_size.x / block_size.y};
    make_context(fibre.context, stack_of(thread), stack_bytes, enter_fibre);
  }
  for (unsigned warp = 0; warp < block.warps.size(); warp++) {
    block.warps[warp].lanes = std::min(warp_size, count - warp * warp_size);
    block.warps[warp].arrived = 0;
  }
  std::memset(block.shared.get(), 0xff, block.shared_bytes);
}

void run_block(unsigned count) {
  begin_block(count);
  for (unsigned done = 0; done < count;) {
    bool moved = false;
    for (unsigned thread : block.order) {
      Fibre &fibre = block.fibres[thread];
      if (fibre.state != State::ready) continue;
      moved = true;
      block.current = thread;
      thread_index = fibre.index;
      switch_context(block.scheduler, fibre.context);
      done += fibre.state == State::done;
    }
    if (!moved) stop("a barrier that some threads do not reach");
    order_threads(count);
  }
}

}  // namespace

void run_grid(Index3 grid, Index3 size, size_t shared_bytes, const std::function<void()> &body) {
  grid_size = grid;
  block_size = size;
  const unsigned count = size.x * size.y * size.z;
  block.body = &body;
  block.fibres.resize(count);
  block.warps.resize((count + warp_size - 1) / warp_size);
  // Of the exact size, so that the address sanitizer sees what goes beyond it.
  block.shared.reset(new char[shared_bytes]);
  block.shared_bytes = shared_bytes;
  reserve_stacks(count);
  order_threads(count);
  for (unsigned z = 0; z < grid.z; z++) {
    for (unsigned y = 0; y < grid.y; y++) {
      for (unsigned x = 0; x < grid.x; x++) {
        block_index = {x, y, z};
        run_block(count);
      }
    }
  }
}

void wait_for_block() {
  if (++block.arrived == block.fibres.size()) {
    block.arrived = 0;
    for (Fibre &fibre : block.fibres) {
      if (fibre.state == State::at_block) fibre.state = State::ready;
    }
    return leave(State::ready);
  }
  leave(State::at_block);
}

const char *exchange(const void *mine, size_t bytes) {
  if (bytes > slot_bytes) stop("an exchange of more than a slot");
  const unsigned first = block.current / warp_size * warp_size;
  Warp &warp = block.warps[block.current / warp_size];
  char *slots = warp.slots[block.fibres[block.current].exchanges++ % 2];
  std::memcpy(slots + (block.current - first) * slot_bytes, mine, bytes);
  if (++warp.arrived < warp.lanes) {
    leave(State::at_warp);
    return slots;
  }
  warp.arrived = 0;
  for (unsigned lane = 0; lane < warp.lanes; lane++) {
    Fibre &fibre = block.fibres[first + lane];
    if (fibre.state == State::at_warp) fibre.state = State::ready;
  }
  return slots;
}

void *dynamic_shared() { return block.shared.get(); }

}  // namespace mfl::shim
