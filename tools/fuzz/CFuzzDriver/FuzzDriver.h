#ifndef MILLRACE_FUZZ_DRIVER_H
#define MILLRACE_FUZZ_DRIVER_H
#include <stddef.h>
#include <stdint.h>

/// libFuzzer's own entry for programs that have a main function: returns when it has finished.
int LLVMFuzzerRunDriver(
    int *argc, char ***argv, int (*examine)(const uint8_t *bytes, size_t count));

#endif
