// What the kernels' threads do to memory: whether they may, whether two of them race, and how many
// sectors of global memory it takes.
//
// A race is two accesses of one byte by different threads, one of them a write, with no barrier of
// their block or warp between them. Different blocks have none, but counts: what a thread has
// written or waited for before it counts is there for one that counts later and then sees what was
// counted, and for those that a barrier brings behind that. Shuffles order no memory.
//
// A sector is 32 bytes, counted from the beginning of its array. `unique` counts each sector once
// a launch: what DRAM must move if caches are perfect. `requested` counts it once for every
// instruction of a warp that touches it, as the load-store unit does: one instruction is what the
// 32 lanes do at one place in the source, the n-th time since their last barrier or shuffle.
#pragma once

#include <cstdint>
#include <string>

#include "executor.h"

namespace hhd::executor::memory {

// Where races are found, shared memory has this much around it that nobody may touch.
inline constexpr int64_t kGuard = 4096;

// Global memory that the kernels may touch from now on.
void expose(const char* name, void* begin, int64_t bytes, bool writable);
void hide_all();

enum class Kind : int32_t { kBarrier, kWarpBarrier, kShuffle, kLoad, kStore, kCount, kSeeCounted };
void saw(Kind kind, const Site& at);
std::string sites();  // "kind file line" a line, of all that were seen since the last call

// Since the last call: for each launch a line "launch kernel blocks threads shared_bytes" and for
// each array it touched a line "array name read unique requested written unique requested".
std::string traffic();

void launch_begins(const void* kernel, int64_t blocks, int threads, int64_t shared_bytes);
void launch_ends();
void block_begins(const void* shared, int64_t shared_bytes);
void block_ends();
void barrier_passed();       // by the whole block
void warp_barrier_passed();  // by the running thread
void thread_in_step();       // the running thread passed a barrier or a shuffle

// A load or store of the running thread, aligned to its size.
void access(const void* p, int bytes, Kind kind, const Site& at);
// The running thread counts, ordering what was before unless a bug forgets it, and sees what others
// have counted where it did.
void count(const unsigned* counter, bool orders, const Site& at);
void see_counted();
// Any access of the running thread that is neither.
void touched(const void* p, int bytes, bool write, const void* where);

}  // namespace hhd::executor::memory
