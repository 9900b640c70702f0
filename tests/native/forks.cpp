// Forks again and again while other threads take memory and give it back. Each child takes some itself, within ten
// seconds: a lock that a thread of the parent's held would stay locked in it.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

#include "pages.h"

static void take_and_give_back() {
  const auto block = frcnn::kept_blocks().take(1);
  if (!block.data) std::exit(2);
  frcnn::kept_blocks().give_back(block);
}

int main() {
  std::atomic<bool> forked{false};
  std::vector<std::thread> busy;
  for (int thread = 0; thread < 2; ++thread) {
    busy.emplace_back([&] {
      while (!forked) take_and_give_back();
    });
  }
  int good = 0;
  constexpr int kChildren = 300;
  for (int k = 0; k < kChildren; ++k) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(10);
      take_and_give_back();
      _exit(0);
    }
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) break;
    ++good;
  }
  forked = true;
  for (auto& thread : busy) thread.join();
  std::puts(good == kChildren ? "every child had memory" : "a child had none");
}
