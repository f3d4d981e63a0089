// Counts this library's own instructions between two points, one trap each: the processor's trap
// flag makes every instruction end in SIGTRAP. Exact, and needs no counter of the machine's.
#pragma once

#include <ucontext.h>

#include <csignal>
#include <cstdint>

// Of this library: the linker's.
extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start;
extern "C" __attribute__((visibility("hidden"))) const char etext;

namespace counting {

inline volatile std::int64_t instructions = 0;

inline void count(int, siginfo_t*, void* context) {
  const auto* registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  const auto at = reinterpret_cast<const char*>(registers[REG_RIP]);
  // What libc does depends on the machine, and what malloc does on the calls before.
  if (at >= &__ehdr_start && at < &etext) instructions = instructions + 1;
}

class Counter {
 public:
  Counter() {
    instructions = 0;
    struct sigaction action{};
    action.sa_sigaction = count;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, &before_);
    asm volatile("pushfq\n orq $0x100, (%%rsp)\n popfq" ::: "memory", "cc");
  }
  ~Counter() {
    asm volatile("pushfq\n andq $~0x100, (%%rsp)\n popfq" ::: "memory", "cc");
    sigaction(SIGTRAP, &before_, nullptr);
  }
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;

 private:
  struct sigaction before_{};
};

}  // namespace counting
