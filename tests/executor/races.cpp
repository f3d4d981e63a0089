// The compiler's calls before each access of sources compiled with -fsanitize=thread, taken by the
// executor in place of ThreadSanitizer's runtime, which knows nothing of the kernels' threads.
#include "memory.h"

#define HHD_TAKE(name, bytes, write)                                              \
  extern "C" void __tsan_##name(const void* p) {                                  \
    hhd::executor::memory::touched(p, bytes, write, __builtin_return_address(0)); \
  }
#define HHD_TAKE_ALL(bytes)                     \
  HHD_TAKE(read##bytes, bytes, false)           \
  HHD_TAKE(write##bytes, bytes, true)           \
  HHD_TAKE(unaligned_read##bytes, bytes, false) \
  HHD_TAKE(unaligned_write##bytes, bytes, true)

HHD_TAKE_ALL(1)
HHD_TAKE_ALL(2)
HHD_TAKE_ALL(4)
HHD_TAKE_ALL(8)
HHD_TAKE_ALL(16)

extern "C" void __tsan_read_range(const void* p, unsigned long bytes) {
  hhd::executor::memory::touched(p, static_cast<int>(bytes), false, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(const void* p, unsigned long bytes) {
  hhd::executor::memory::touched(p, static_cast<int>(bytes), true, __builtin_return_address(0));
}
extern "C" void __tsan_vptr_update(void**, void*) {}
extern "C" void __tsan_vptr_read(void**) {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_init() {}
