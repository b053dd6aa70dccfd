#ifndef CERALACCA_CCONFINEMENT_H
#define CERALACCA_CCONFINEMENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// What a confined process may still do. The strings and arrays belong to the caller.
typedef struct {
  /// Folder or file that may be read; NULL for none. The parent's only.
  const char *database;
  /// Further folders or files that may be read, each ended by a NUL, the last by two; NULL for none. The parent's only.
  const char *readable;
  /// Folder below which everything may be done.
  const char *temporary;
  /// Who the process becomes when it is root; NULL means "nobody".
  const char *user;
  /// What a worker's address space may grow by.
  uint64_t memory_bytes;
  /// How large a file of a worker's may get.
  uint64_t file_bytes;
  /// What a worker keeps open besides 0, 1 and 2.
  const int *descriptors;
  size_t descriptor_count;
} ceralacca_confinement;

/// Where confinement failed.
typedef struct {
  char step[384];
  /// An errno; 0 when the step says all.
  int code;
} ceralacca_confinement_fault;

/// The kernel's Landlock ABI; 0 when it has none, or none that is on.
int ceralacca_landlock_abi(void);

/// Whether the kernel takes seccomp filters that answer with an error. 1 or 0.
int ceralacca_has_seccomp(void);

/// Confines the parent. 0, or -1 with the fault; after -1 the process is in between and must end.
int ceralacca_confine_parent(const ceralacca_confinement *plan, ceralacca_confinement_fault *fault);

/// Confines a worker; the same answers.
int ceralacca_confine_worker(const ceralacca_confinement *plan, ceralacca_confinement_fault *fault);

/// fork(2), with a note of the parent's process id and size, which the child cannot see any more once it is confined.
pid_t ceralacca_fork(void);

/// Tries the forbidden thing of that number, as a worker or as the parent. 0 when it went through, an errno when it did not, -1 when
/// there is no thing of that number. `what` says what was tried, in a static string; `skipped` is 1 for what that role may do.
int ceralacca_probe(int number, int is_worker, const char *key_file, const char **what, int *skipped);

#endif
