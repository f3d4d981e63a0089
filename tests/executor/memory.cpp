#include "memory.h"

#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <tuple>
#include <utility>
#include <vector>

namespace hhd::executor::memory {
namespace {

constexpr int64_t kSector = 32;

// The first and the last of those who did something in one scope: whether there is anyone else.
struct Scope {
  int64_t id = -1, first = 0, last = 0;

  void add(int64_t in, int64_t member) {
    if (id != in) {
      id = in;
      first = last = member;
    }
    first = std::min(first, member);
    last = std::max(last, member);
  }
  bool others(int64_t in, int64_t member) const {
    return id == in && (first != member || last != member);
  }
};

// The running thread, and what nothing orders within: blocks in a launch, a block's warps between
// its barriers, a warp's threads between those and its own barriers.
struct Now {
  int64_t launch, block, interval, warp, step, thread;
  const void* where = nullptr;
};

// What one thread has done and waited for until now, its block's counts in a launch.
bool is_behind(const Now& now, const Now& before) {
  return now.block == before.block &&
         (now.thread == before.thread || now.interval > before.interval ||
          (now.warp == before.warp && now.step > before.step));
}

struct Users {
  Scope blocks, warps, threads;
  const void* last = nullptr;  // where in the program the last of them was

  void add(const Now& now) {
    blocks.add(now.launch, now.block);
    warps.add(now.interval, now.warp);
    threads.add(now.step, now.thread);
    last = now.where;
  }
  bool others(const Now& now) const {
    return blocks.others(now.launch, now.block) || warps.others(now.interval, now.warp) ||
           threads.others(now.step, now.thread);
  }
  // The last of them, if it was the only one: of a block, a warp and a thread.
  bool only(Now& one) const {
    one = {blocks.id, blocks.last, warps.id, warps.last, threads.id, threads.last};
    return blocks.first == blocks.last && warps.first == warps.last &&
           threads.first == threads.last;
  }
};

struct Byte {
  Users readers, writers;
};

struct Array {
  std::string name;
  const char* begin;
  int64_t bytes;
  bool writable;
  std::vector<Byte> history;
};

struct Place {
  int array, write;
  int64_t sector;

  auto key() const { return std::tie(array, write, sector); }
};

// One lane's part of a warp's instruction, in the running block.
struct Access {
  Place place;
  int warp, step, site, turn;

  auto key() const { return std::tuple_cat(place.key(), std::tie(warp, step, site, turn)); }
};

template <class Item>
void keep_unique(std::vector<Item>& items) {
  std::sort(items.begin(), items.end(),
            [](const Item& a, const Item& b) { return a.key() < b.key(); });
  const auto equal = [](const Item& a, const Item& b) { return a.key() == b.key(); };
  items.erase(std::unique(items.begin(), items.end(), equal), items.end());
}

struct Seen {
  Now by;
  std::vector<Now> counted;
};

struct Lane {
  int warp_barriers = 0, step = 0;
  std::vector<Now> counted;  // by whom, when this lane counted
  std::vector<int> turns;    // by site, since the step began
};

struct Watch {
  std::vector<Array> arrays;
  int64_t launch = 0, interval = 0;
  const char* shared = nullptr;
  std::vector<Byte> shared_history;

  std::map<const void*, std::vector<Now>> counts;  // of the running launch
  std::vector<Seen> seen;                          // by the running block

  std::map<std::pair<Kind, Site>, int> sites;
  std::vector<Lane> lanes;
  std::vector<Access> accesses;                      // of the running block
  std::vector<Place> places;                         // of the running launch
  std::map<std::pair<int, int>, int64_t> requested;  // likewise, by array and direction
  std::ostringstream report;
};

Watch& watch() {
  static Watch w;
  return w;
}

int site_number(Kind kind, const Site& at) {
  auto& sites = watch().sites;
  return sites.try_emplace({kind, at}, static_cast<int>(sites.size())).first->second;
}

int64_t offset_in_library(const void* code) {
  Dl_info library{};
  dladdr(code, &library);
  return static_cast<const char*>(code) - static_cast<char*>(library.dli_fbase);
}

// For a reader who has the library's symbols: library.py.
std::string place(const void* where) {
  // A return address is past the access.
  return where ? " at <" + std::to_string(offset_in_library(where) - 1) + ">" : "";
}

// Whether counts put the running thread behind whoever used a byte last.
bool ordered(const Users& users, const Now& now) {
  Now last{};
  if (!users.only(last) || last.launch != now.launch) return false;
  for (const Seen& seen : watch().seen) {
    if (!is_behind(now, seen.by)) continue;
    for (const Now& counted : seen.counted) {
      if (is_behind(counted, last)) return true;
    }
  }
  return false;
}

template <class Name>
void check_race(std::vector<Byte>& history, int64_t offset, int bytes, bool write, const Now& now,
                const Name& name) {
  for (int64_t i = offset; i < offset + bytes; ++i) {
    Byte& byte = history[i];
    const bool written = byte.writers.others(now) && !ordered(byte.writers, now);
    if (written || (write && byte.readers.others(now))) {
      fail("race in " + name() + ": byte " + std::to_string(i) + " is " +
           (write ? "written" : "read") + place(now.where) + " and " +
           (written ? "written" : "read") + " by another thread" +
           place((written ? byte.writers : byte.readers).last) + ", with no barrier between");
    }
    (write ? byte.writers : byte.readers).add(now);
  }
}

Now now() {
  const Watch& w = watch();
  const int thread = thread_index();
  // No block passes a million barriers.
  const int64_t step = w.interval << 20 | w.lanes[thread].warp_barriers;
  return {w.launch, block_index(), w.interval, thread / kWarp, step, thread};
}

// The array that holds these bytes, or -1.
int find(const char* p, int bytes) {
  const std::vector<Array>& arrays = watch().arrays;
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (p >= arrays[i].begin && p + bytes <= arrays[i].begin + arrays[i].bytes) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

}  // namespace

void expose(const char* name, void* begin, int64_t bytes, bool writable) {
  Array array{name, static_cast<const char*>(begin), bytes, writable, {}};
  if (settings().find_races) array.history.resize(bytes);
  watch().arrays.push_back(std::move(array));
}

void hide_all() { watch().arrays.clear(); }

void access(const void* address, int bytes, Kind kind, const Site& at) {
  const char* p = static_cast<const char*>(address);
  const bool write = kind == Kind::kStore;
  const auto what = [&] {
    return std::string(write ? "store" : "load") + " of " + std::to_string(bytes) + " bytes at " +
           at.name();
  };
  if (reinterpret_cast<uintptr_t>(p) % bytes != 0) fail("misaligned " + what());
  Watch& w = watch();
  if (w.arrays.empty()) return;
  const int number = find(p, bytes);
  if (number < 0) fail(what() + " outside every array");
  Array& array = w.arrays[number];
  if (write && !array.writable) fail(what() + " to the input " + array.name);
  const int site = site_number(kind, at);
  const int64_t offset = p - array.begin;
  if (settings().find_races) {
    check_race(array.history, offset, bytes, write, now(),
               [&] { return array.name + ", " + what(); });
  }
  if (!settings().count_traffic) return;
  const int thread = thread_index();
  Lane& lane = w.lanes[thread];
  if (lane.turns.size() <= static_cast<size_t>(site)) lane.turns.resize(site + 1);
  const int turn = lane.turns[site]++;
  for (int64_t s = offset / kSector; s <= (offset + bytes - 1) / kSector; ++s) {
    w.accesses.push_back({{number, write, s}, thread / kWarp, lane.step, site, turn});
  }
}

void count(const unsigned* counter, bool orders, const Site& at) {
  saw(Kind::kCount, at);
  if (reinterpret_cast<uintptr_t>(counter) % sizeof *counter != 0) {
    fail("misaligned counter at " + at.name());
  }
  Watch& w = watch();
  if (w.arrays.empty()) return;
  const int number = find(reinterpret_cast<const char*>(counter), sizeof *counter);
  if (number < 0 || !w.arrays[number].writable) fail("no memory to count in at " + at.name());
  w.lanes[thread_index()].counted = w.counts[counter];
  if (orders) w.counts[counter].push_back(now());
}

void see_counted() {
  Watch& w = watch();
  if (!w.arrays.empty()) w.seen.push_back({now(), w.lanes[thread_index()].counted});
}

void saw(Kind kind, const Site& at) {
  if (!watch().arrays.empty()) site_number(kind, at);
}

std::string sites() {
  std::ostringstream text;
  for (const auto& [site, number] : watch().sites) {
    text << static_cast<int>(site.first) << ' ' << site.second.file << ' ' << site.second.line
         << '\n';
  }
  watch().sites.clear();
  return text.str();
}

std::string traffic() {
  const std::string text = watch().report.str();
  watch().report.str("");
  return text;
}

void launch_begins(const void* kernel, int64_t blocks, int threads, int64_t shared_bytes) {
  Watch& w = watch();
  ++w.launch;
  w.places.clear();
  w.requested.clear();
  w.counts.clear();
  w.report << "launch " << offset_in_library(kernel) << ' ' << blocks << ' ' << threads << ' '
           << shared_bytes << '\n';
}

void launch_ends() {
  Watch& w = watch();
  std::map<std::pair<int, int>, int64_t> unique;
  keep_unique(w.places);
  for (const Place& p : w.places) ++unique[{p.array, p.write}];
  for (size_t i = 0; i < w.arrays.size(); ++i) {
    const std::pair<int, int> read(i, 0), written(i, 1);
    w.report << "array " << w.arrays[i].name << ' ' << unique[read] << ' ' << w.requested[read]
             << ' ' << unique[written] << ' ' << w.requested[written] << '\n';
  }
}

void block_begins(const void* shared, int64_t shared_bytes) {
  Watch& w = watch();
  ++w.interval;
  w.shared = static_cast<const char*>(shared);
  w.shared_history.resize(settings().find_races ? shared_bytes : 0);
  w.lanes.assign(block_threads(), {});
  w.seen.clear();
}

void block_ends() {
  Watch& w = watch();
  keep_unique(w.accesses);
  for (const Access& a : w.accesses) {
    ++w.requested[{a.place.array, a.place.write}];
    w.places.push_back(a.place);
  }
  w.accesses.clear();
  // From here on its memory is the host's again.
  w.shared = nullptr;
  w.shared_history.clear();
}

void barrier_passed() { ++watch().interval; }

void thread_in_step() {
  Lane& lane = watch().lanes[thread_index()];
  ++lane.step;
  std::fill(lane.turns.begin(), lane.turns.end(), 0);
}

void warp_barrier_passed() {
  ++watch().lanes[thread_index()].warp_barriers;
  thread_in_step();
}

void touched(const void* p, int bytes, bool write, const void* where) {
  if (!settings().find_races) return;
  Watch& w = watch();
  const char* at = static_cast<const char*>(p);
  const int64_t offset = at - w.shared, end = static_cast<int64_t>(w.shared_history.size());
  if (w.shared != nullptr && offset > -kGuard && offset < end + kGuard) {
    if (offset < 0 || offset + bytes > end) {
      fail("byte " + std::to_string(offset) + " of " + std::to_string(end) +
           " of shared memory is touched" + place(where));
    }
    // Blocks have their own: the same bytes in another block are of no concern.
    Now here = now();
    here.launch = here.block = 0;
    here.where = where;
    check_race(w.shared_history, offset, bytes, write, here,
               [] { return std::string("shared memory"); });
  } else if (find(at, bytes) >= 0) {
    fail("global memory is touched" + place(where) + " without load or store");
  }
}

}  // namespace hhd::executor::memory
