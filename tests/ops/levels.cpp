// The variants that the processor which runs this can run, as their places in `VARIANTS` of native/__init__.py.

#include <cstdio>

#include "native/features.cpp"

int main() {
  for (int level = 0; level < 16; ++level) {
    if (reformer_processor_runs(level)) std::printf("%d\n", level);
  }
}
