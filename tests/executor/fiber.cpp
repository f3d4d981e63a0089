#include "fiber.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace hhd::executor {
namespace {

constexpr size_t kStackBytes = 128 << 10;

Fiber* starting = nullptr;
Fiber* left = nullptr;  // by the switch under way

// The builtins keep no signal mask: a tenth of swapcontext's time. They jump between stacks, of
// which AddressSanitizer is told by switch_to.
__attribute__((noinline, no_sanitize("address", "undefined"))) [[noreturn]] void resume(
    void** registers) {
  __builtin_longjmp(registers, 1);
}

__attribute__((noinline, no_sanitize("address", "undefined"))) void jump(void** from, void** to) {
  if (__builtin_setjmp(from) == 0) resume(to);
}

__attribute__((noinline, no_sanitize("address", "undefined"))) void begin(void** from,
                                                                          const ucontext_t& to) {
  if (__builtin_setjmp(from) == 0) setcontext(&to);
}

}  // namespace

Fiber::Fiber(void (*entry)())
    : entry_(entry), memory_(new char[kStackBytes]), bottom_(memory_.get()), size_(kStackBytes) {
  getcontext(&context_);
  context_.uc_stack.ss_sp = memory_.get();
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, &Fiber::start, 0);
}

void Fiber::start() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &left->bottom_, &left->size_);
#endif
  starting->entry_();
}

void Fiber::switch_to(Fiber& other) {
  left = this;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fake_stack_, other.bottom_, other.size_);
#endif
  if (other.entry_ == nullptr || other.started_) {
    jump(registers_, other.registers_);
  } else {
    other.started_ = true;
    starting = &other;
    begin(registers_, other.context_);
  }
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, &left->bottom_, &left->size_);
#endif
}

}  // namespace hhd::executor
