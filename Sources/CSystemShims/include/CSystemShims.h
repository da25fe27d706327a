#ifndef MILLRACE_SYSTEM_SHIMS_H
#define MILLRACE_SYSTEM_SHIMS_H

#include "Checksum.h"
#include "ContentChecksum.h"
#include "GuardedCopy.h"
#include "LinuxCalls.h"
#include "Prefetch.h"

#endif
