// Runs kernels on the CPU, one block after the other, a block's threads as fibres that yield where
// CUDA's threads wait for each other: at barriers and shuffles. What a GPU would answer with
// garbage or a hang is a std::runtime_error here, thrown by run().
#pragma once

#include <cstdint>
#include <functional>
#include <string>

// Of load and store, whose accesses are reported by themselves: see memory.cpp.
#if defined(__SANITIZE_THREAD__)
#define HHD_EXECUTOR_UNWATCHED __attribute__((no_sanitize("thread"), noinline))
#else
#define HHD_EXECUTOR_UNWATCHED inline
#endif

namespace hhd::executor {

inline constexpr int kWarp = 32;

// A place in the kernels' sources.
struct Site {
  const char* file = "";
  int line = 0;

  bool operator==(const Site& other) const;
  bool operator<(const Site& other) const;
  std::string name() const;  // the file's last part and the line
};

// Which of the threads (and blocks) that could go on goes on.
enum class Order : int32_t { kForward, kReverse, kRandom };

struct Settings {
  Order order = Order::kForward;
  uint64_t seed = 0;
  int64_t shared_memory_limit = 227 << 10;  // of sm_90
  bool find_races = true;                   // in sources compiled with -fsanitize=thread
  bool count_traffic = false;
};
Settings& settings();

// A bug to be seen, put into what the kernels do at one site.
enum class Plant : int32_t {
  kNone,
  kBarrierSkipped,  // no thread waits there, of the block or of a warp
  kLaneForgotten,   // the shuffle's mask lacks the warp's last lane
  kReadBeyond,      // a load reads the element after its own
  kStoreDropped,    // the launch's first store there does not happen
  kOrderForgotten,  // the count is one that orders nothing
};
void plant(Plant bug, const Site& at);

// Which of the bugs of bugs.py runs, where the sources hold them; 0: none.
void choose(int bug);
bool chosen(int bug);

// Called by the kernels, through device_side.h.
int thread_index();
int block_threads();
int64_t block_index();
int64_t grid_blocks();
void* shared_memory();
void barrier(const Site& at);
void warp_barrier(const Site& at);
// The lanes of `mask` give `bytes` bytes at `value` each, and get those that lane `source` gave.
void exchange(unsigned mask, int source, void* value, int bytes, const Site& at);
// Global memory: where to read; where to write, or null not to.
const void* reading(const void* p, int bytes, const Site& at);
void* writing(void* p, int bytes, const Site& at);
// Counts, and what follows from it: see memory.h.
unsigned count_up(unsigned* counter, const Site& at);
void see_counted(const Site& at);
// A copy into shared memory arrives when the thread waits for it, no sooner.
void copy_async(void* shared, const void* global, int bytes, const Site& at);
void await_copies();

// A launch: `body` is one thread's work.
void run(const void* kernel, int64_t blocks, int threads, int64_t shared_bytes,
         const std::function<void()>& body);

// Ends the launch with an error, from any of its threads.
[[noreturn]] void fail(const std::string& message);

float from_float16(uint16_t h);
uint16_t to_float16(float x);
uint16_t to_bfloat16(float x);

}  // namespace hhd::executor
