#ifndef CERALACCA_CSCRATCH_H
#define CERALACCA_CSCRATCH_H

#include <stddef.h>

/// libclamav writes every part of a message to a file of its own, to read it again at once: well over a hundred system calls for a short
/// message. This room defines the C library's calls that files are made, read and removed by, and the linker prefers its definitions to the C
/// library's for all that the program loads. They pass everything on, until a worker says where its scratch files are to be: paths below
/// that one are then names in this process's memory, and what is under them is too, as long as it is small.
///
/// One thread only. Descriptors of scratch files are numbers that the kernel does not know: a call that is not defined here fails with
/// EBADF or ENOENT, and never finds an empty file.

/// From now on, and for good, paths below `place` (absolute, without a slash at its end) are scratch. What does not fit into memory goes to
/// files without a name in the folder `overflow`. 0, or an errno.
int ceralacca_scratch_begin(const char *place, const char *overflow, size_t memory_bytes);

/// Removes all names. What is still open stays with those who hold it.
void ceralacca_scratch_clear(void);

/// What there is now.
typedef struct {
  size_t names;
  size_t open;
  /// Octets of memory for what is in the files.
  size_t memory_bytes;
  /// Files that went to the folder, since the beginning.
  size_t overflowed;
} ceralacca_scratch_figures;
ceralacca_scratch_figures ceralacca_scratch_now(void);

#endif
