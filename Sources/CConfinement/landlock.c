#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// The kernel's header may be older than the kernel: what came after ABI 2 is said here.
#define ACCESS_TRUNCATE (1ULL << 14)      // ABI 3
#define ACCESS_IOCTL_DEVICE (1ULL << 15)  // ABI 5
#define ALL_TCP 3ULL                      // ABI 4: binding and connecting
#define ALL_SCOPES 3ULL                   // ABI 6: abstract sockets and signals

// The newest ABI that this file knows anything of (7 adds words for the audit log only). The tests build it with older ones.
#ifndef CERALACCA_LANDLOCK_NEWEST
#define CERALACCA_LANDLOCK_NEWEST 7
#endif

/// struct landlock_ruleset_attr of ABI 6; older kernels take it as long as what they do not know is 0.
typedef struct {
  uint64_t files;
  uint64_t network;
  uint64_t scopes;
} ruleset_attributes;

int ceralacca_landlock_abi(void) {
  long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return abi > 0 ? (int)abi : 0;
}

static uint64_t all_of_files(int abi) {
  // The first thirteen are ABI 1: executing to making links.
  uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
  if (abi >= 2) all |= LANDLOCK_ACCESS_FS_REFER;
  if (abi >= 3) all |= ACCESS_TRUNCATE;
  if (abi >= 5) all |= ACCESS_IOCTL_DEVICE;
  return all;
}

static const uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t keeping = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                LANDLOCK_ACCESS_FS_REMOVE_DIR | ACCESS_TRUNCATE;
/// What can be said of a file that is no folder.
static const uint64_t of_file = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE;

/// Allows the access below the path. A path that is not there is a fault, unless it is optional.
static int allow(int rules, const char *path, uint64_t access, uint64_t handled, int is_optional, ceralacca_confinement_fault *fault) {
  int place = open(path, O_PATH | O_CLOEXEC);
  if (place < 0) {
    if (is_optional) return 0;
    return confinement_fails(fault, errno, "opening %s", path);
  }
  struct stat status;
  int result = fstat(place, &status);
  if (result == 0) {
    struct landlock_path_beneath_attr rule = {.parent_fd = place};
    rule.allowed_access = access & handled & (S_ISDIR(status.st_mode) ? ~0ULL : of_file);
    result = (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
  }
  int code = errno;
  close(place);
  return result == 0 ? 0 : confinement_fails(fault, code, "allowing %s", path);
}

/// Where the C library has its character sets: libclamav turns some texts around.
static const char *const character_sets[] = {
#if defined(__x86_64__)
    "/usr/lib/x86_64-linux-gnu/gconv",
#elif defined(__aarch64__)
    "/usr/lib/aarch64-linux-gnu/gconv",
#endif
    "/usr/lib64/gconv",
    "/usr/lib/gconv",
};

static int add_rules(int rules, uint64_t handled, const ceralacca_confinement *plan, int is_worker, ceralacca_confinement_fault *fault) {
  if (allow(rules, plan->temporary, keeping, handled, 0, fault) != 0) return -1;
  // The engine is in a worker's memory when it begins.
  if (is_worker) return 0;
  if (plan->database && allow(rules, plan->database, reading, handled, 0, fault) != 0) return -1;
  for (const char *path = plan->readable; path && *path; path += strlen(path) + 1)
    if (allow(rules, path, reading, handled, 0, fault) != 0) return -1;
  for (size_t at = 0; at < sizeof character_sets / sizeof *character_sets; at++)
    if (allow(rules, character_sets[at], reading, handled, 1, fault) != 0) return -1;
  return 0;
}

int confinement_restrict_paths(const ceralacca_confinement *plan, int is_worker, ceralacca_confinement_fault *fault) {
  int abi = ceralacca_landlock_abi();
  if (abi > CERALACCA_LANDLOCK_NEWEST) abi = CERALACCA_LANDLOCK_NEWEST;
  if (abi < 1) return confinement_fails(fault, 0, "this kernel has no Landlock, or it is off (see its lsm= parameter)");
  ruleset_attributes attributes = {.files = all_of_files(abi)};
  if (abi >= 4) attributes.network = ALL_TCP;
  if (abi >= 6) attributes.scopes = ALL_SCOPES;
  int rules = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
  if (rules < 0) return confinement_fails(fault, errno, "making a Landlock ruleset");
  int result = add_rules(rules, attributes.files, plan, is_worker, fault);
  if (result == 0 && syscall(SYS_landlock_restrict_self, rules, 0) != 0)
    result = confinement_fails(fault, errno, "restricting paths with Landlock");
  close(rules);
  return result;
}
