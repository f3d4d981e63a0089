#include "executor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include "fiber.h"
#include "memory.h"

namespace hhd::executor {
namespace {

enum class State { kReady, kAtBarrier, kInWarp, kDone };

struct Copy {
  void* to;
  const void* from;
  int bytes;
};

struct Thread {
  Fiber fiber;
  State state = State::kReady;
  Site at;
  unsigned mask = 0;
  int source = 0;
  uint64_t given = 0, taken = 0;
  std::vector<Copy> copies;  // under way

  explicit Thread(void (*entry)()) : fiber(entry) {}
};

struct Machine {
  Settings settings;
  Plant bug = Plant::kNone;
  Site bug_site;
  bool store_dropped = false;
  int chosen = 0;

  Fiber host;  // whoever called run()
  std::vector<std::unique_ptr<Thread>> pool;
  const std::function<void()>* body = nullptr;
  int threads = 0, current = 0, at_barrier = 0, done = 0;
  int64_t blocks = 0, block = 0;
  std::vector<uint64_t> ready;  // a bit a thread
  std::mt19937_64 random;
  unsigned char* shared = nullptr;
  std::string failure;
};

Machine& machine() {
  static Machine m;
  return m;
}

Thread& thread(int i) { return *machine().pool[i]; }

void set_ready(int i) {
  thread(i).state = State::kReady;
  machine().ready[i / 64] |= uint64_t{1} << i % 64;
}

// The first thread at or after `from` that could go on, or -1.
int next_ready(int from) {
  const std::vector<uint64_t>& bits = machine().ready;
  const auto end = static_cast<int>(bits.size());
  for (int word = from / 64; word < end; ++word) {
    const uint64_t rest = word == from / 64 ? ~uint64_t{0} << from % 64 : ~uint64_t{0};
    if (bits[word] & rest) return 64 * word + __builtin_ctzll(bits[word] & rest);
  }
  return -1;
}

int last_ready() {
  const std::vector<uint64_t>& bits = machine().ready;
  for (auto word = static_cast<int>(bits.size()) - 1; word >= 0; --word) {
    if (bits[word]) return 64 * word + 63 - __builtin_clzll(bits[word]);
  }
  return -1;
}

int choose() {
  Machine& m = machine();
  switch (m.settings.order) {
    case Order::kForward:
      return next_ready(0);
    case Order::kReverse:
      return last_ready();
    case Order::kRandom:
      const int i = next_ready(static_cast<int>(m.random() % m.threads));
      return i < 0 ? next_ready(0) : i;
  }
  return -1;
}

bool planted(Plant bug, const Site& at) { return machine().bug == bug && machine().bug_site == at; }

// Who waits where, for a report: "threads 0, 2 ... wait in a shuffle at losses.cuh:12".
std::string whereabouts() {
  std::map<std::string, std::vector<int>> groups;
  for (int i = 0; i < machine().threads; ++i) {
    const Thread& t = thread(i);
    const std::string site = t.at.name();
    groups[t.state == State::kDone        ? "have returned"
           : t.state == State::kAtBarrier ? "wait at the barrier " + site
                                          : "wait for their warp at " + site]
        .push_back(i);
  }
  std::string text;
  for (const auto& [what, members] : groups) {
    text += (text.empty() ? "" : "; ") + std::to_string(members.size()) + " threads " + what + " (";
    for (size_t i = 0; i < std::min<size_t>(members.size(), 4); ++i) {
      text += (i ? ", " : "") + std::to_string(members[i]);
    }
    text += members.size() > 4 ? ", ...)" : ")";
  }
  return text;
}

// Leaves the running thread, which waits or has returned, for one that can go on.
void yield() {
  Machine& m = machine();
  const int self = m.current;
  const int next = choose();
  if (next < 0) {
    if (m.done < m.threads) fail("threads wait for others that never come: " + whereabouts());
    thread(self).fiber.switch_to(m.host);
    return;
  }
  m.ready[next / 64] &= ~(uint64_t{1} << next % 64);
  m.current = next;
  if (next != self) thread(self).fiber.switch_to(thread(next).fiber);
}

// A fibre lives for many blocks: each time it is switched to, it is a thread of another one.
void fiber_entry() {
  for (;;) {
    (*machine().body)();
    if (!thread(machine().current).copies.empty()) fail("returned with copies under way");
    thread(machine().current).state = State::kDone;
    ++machine().done;
    yield();
  }
}

void run_block(int64_t block) {
  Machine& m = machine();
  m.block = block;
  m.at_barrier = m.done = 0;
  m.ready.assign((m.threads + 63) / 64, 0);
  for (int i = 0; i < m.threads; ++i) set_ready(i);
  m.current = choose();
  m.ready[m.current / 64] &= ~(uint64_t{1} << m.current % 64);
  m.host.switch_to(thread(m.current).fiber);
}

std::vector<int64_t> block_order() {
  Machine& m = machine();
  std::vector<int64_t> order(m.blocks);
  std::iota(order.begin(), order.end(), 0);
  if (m.settings.order == Order::kReverse) std::reverse(order.begin(), order.end());
  if (m.settings.order == Order::kRandom) std::shuffle(order.begin(), order.end(), m.random);
  return order;
}

// Waits until the lanes of `mask` stand here with the same mask; the last one calls `last` with
// each of their threads.
template <class Last>
void meet(unsigned mask, const Site& at, const Last& last) {
  Machine& m = machine();
  const int first = m.current - m.current % kWarp;
  Thread& self = thread(m.current);
  self.state = State::kInWarp;
  self.at = at;
  self.mask = mask;
  bool all = true;
  for (int i = first; i < first + kWarp && all; ++i) {
    if (!(mask >> i % kWarp & 1)) continue;
    if (i >= m.threads) fail(at.name() + " is to be met by lanes that the block does not have");
    const Thread& t = thread(i);
    all = t.state == State::kInWarp && t.mask == mask && t.at == at;
  }
  for (int i = first; i < first + kWarp && all; ++i) {
    if (!(mask >> i % kWarp & 1)) continue;
    last(i);
    set_ready(i);
  }
  yield();
}

}  // namespace

bool Site::operator==(const Site& other) const {
  return line == other.line && std::strcmp(file, other.file) == 0;
}

bool Site::operator<(const Site& other) const {
  return line != other.line ? line < other.line : std::strcmp(file, other.file) < 0;
}

std::string Site::name() const {
  const char* last = std::strrchr(file, '/');
  return std::string(last ? last + 1 : file) + ":" + std::to_string(line);
}

Settings& settings() { return machine().settings; }

void plant(Plant bug, const Site& at) {
  machine().bug = bug;
  machine().bug_site = at;
}

void choose(int bug) { machine().chosen = bug; }
bool chosen(int bug) { return machine().chosen == bug; }

int thread_index() { return machine().current; }
int block_threads() { return machine().threads; }
int64_t block_index() { return machine().block; }
int64_t grid_blocks() { return machine().blocks; }
void* shared_memory() { return machine().shared; }

// Also a thread that returned without reaching it makes the others wait for ever, and so does one
// at another barrier: a GPU may let both pass, but then nothing is in step any more.
void barrier(const Site& at) {
  Machine& m = machine();
  memory::saw(memory::Kind::kBarrier, at);
  if (planted(Plant::kBarrierSkipped, at)) return;
  Thread& self = thread(m.current);
  self.state = State::kAtBarrier;
  self.at = at;
  if (++m.at_barrier == m.threads) {
    for (int i = 0; i < m.threads; ++i) {
      if (!(thread(i).at == at)) fail("threads are at different barriers: " + whereabouts());
    }
    m.at_barrier = 0;
    memory::barrier_passed();
    for (int i = 0; i < m.threads; ++i) set_ready(i);
  }
  yield();
  memory::thread_in_step();
}

void warp_barrier(const Site& at) {
  memory::saw(memory::Kind::kWarpBarrier, at);
  if (planted(Plant::kBarrierSkipped, at)) return;
  meet(~0u, at, [](int) {});
  memory::warp_barrier_passed();
}

void exchange(unsigned mask, int source, void* value, int bytes, const Site& at) {
  Machine& m = machine();
  memory::saw(memory::Kind::kShuffle, at);
  if (planted(Plant::kLaneForgotten, at)) mask &= ~(1u << (kWarp - 1));
  const int lane = m.current % kWarp, first = m.current - lane;
  const auto named = [&](int i) { return i >= 0 && i < kWarp && (mask >> i & 1); };
  const auto refuse = [&](const std::string& why) {
    fail("shuffle " + at.name() + ": lane " + std::to_string(lane) + " " + why);
  };
  if (!named(lane)) refuse("is not in its own mask");
  if (!named(source)) refuse("asks lane " + std::to_string(source) + ", not in the mask");
  Thread& self = thread(m.current);
  self.source = source;
  std::memcpy(&self.given, value, bytes);
  meet(mask, at, [&](int i) { thread(i).taken = thread(first + thread(i).source).given; });
  memory::thread_in_step();
  std::memcpy(value, &self.taken, bytes);
}

void copy_async(void* shared, const void* global, int bytes, const Site& at) {
  if (reinterpret_cast<uintptr_t>(shared) % bytes != 0) fail("misaligned copy at " + at.name());
  thread(machine().current).copies.push_back({shared, reading(global, bytes, at), bytes});
}

void await_copies() {
  std::vector<Copy>& copies = thread(machine().current).copies;
  for (const Copy& copy : copies) {
    memory::touched(copy.to, copy.bytes, true, __builtin_return_address(0));
    std::memcpy(copy.to, copy.from, copy.bytes);
  }
  copies.clear();
}

const void* reading(const void* p, int bytes, const Site& at) {
  if (planted(Plant::kReadBeyond, at)) p = static_cast<const char*>(p) + bytes;
  memory::access(p, bytes, memory::Kind::kLoad, at);
  return p;
}

void* writing(void* p, int bytes, const Site& at) {
  Machine& m = machine();
  memory::access(p, bytes, memory::Kind::kStore, at);
  if (m.store_dropped || !planted(Plant::kStoreDropped, at)) return p;
  m.store_dropped = true;
  return nullptr;
}

unsigned count_up(unsigned* counter, const Site& at) {
  memory::count(counter, !planted(Plant::kOrderForgotten, at), at);
  return (*counter)++;
}

void see_counted(const Site& at) {
  memory::saw(memory::Kind::kSeeCounted, at);
  if (!planted(Plant::kOrderForgotten, at)) memory::see_counted();
}

void fail(const std::string& message) {
  Machine& m = machine();
  if (m.body == nullptr) throw std::runtime_error("between launches: " + message);
  m.failure =
      "block " + std::to_string(m.block) + ", thread " + std::to_string(m.current) + ": " + message;
  thread(m.current).fiber.switch_to(m.host);
  std::abort();  // nobody switches back
}

void run(const void* kernel, int64_t blocks, int threads, int64_t shared_bytes,
         const std::function<void()>& body) {
  Machine& m = machine();
  if (blocks == 0) return;
  if (threads < 1 || threads > 1024 || shared_bytes > m.settings.shared_memory_limit) {
    throw std::runtime_error("a launch of " + std::to_string(threads) + " threads and " +
                             std::to_string(shared_bytes) + " bytes of shared memory");
  }
  m.body = &body;
  m.blocks = blocks;
  m.threads = threads;
  m.failure.clear();
  m.store_dropped = false;
  m.random.seed(m.settings.seed);
  while (m.pool.size() < static_cast<size_t>(threads)) {
    m.pool.push_back(std::make_unique<Thread>(&fiber_entry));
  }
  memory::launch_begins(kernel, blocks, threads, shared_bytes);
  for (const int64_t block : block_order()) {
    // NaN in every type. For the sanitizers a heap block of exactly its size; malloc's are 16-byte
    // aligned.
    const int64_t guard = m.settings.find_races ? memory::kGuard : 0;
    std::vector<unsigned char> shared(shared_bytes + 2 * guard, 0xff);
    m.shared = shared.data() + guard;
    memory::block_begins(m.shared, shared_bytes);
    run_block(block);
    memory::block_ends();
    if (!m.failure.empty()) {
      m.body = nullptr;
      m.pool.clear();  // their stacks hold threads that will never end
      throw std::runtime_error(m.failure);
    }
  }
  m.body = nullptr;
  memory::launch_ends();
}

}  // namespace hhd::executor
