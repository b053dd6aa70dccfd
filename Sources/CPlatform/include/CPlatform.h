// The operating system's calls that Swift cannot import as they are, or that are clearer with a plain signature.
// Each returns what the call returns; on failure the negative errno where it says so.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "clock.h"
#include "processes.h"
#include "service.h"

/// First index of `byte` in `bytes[0..<count]`, or -1. memchr, vectorised by the C library.
ptrdiff_t ceralacca_find_byte(const uint8_t *bytes, size_t count, uint8_t byte);
/// First index of `needle` in `bytes[0..<count]`, or -1. memmem.
ptrdiff_t ceralacca_find_bytes(const uint8_t *bytes, size_t count, const uint8_t *needle, size_t needle_count);
/// Columns of the terminal that `descriptor` is; 0 when it is none.
int ceralacca_terminal_columns(int descriptor);
/// 1 when any byte is above 127.
int ceralacca_has_high_bit(const uint8_t *bytes, size_t count);
/// CRC-32C (Castagnoli) continued from `crc` (0 at the start); SSE 4.2 where the processor has it.
uint32_t ceralacca_crc32c(uint32_t crc, const uint8_t *bytes, size_t count);
/// Base64 (RFC 4648) without line breaks; `out` has room for 4*((count+2)/3). Returns the length written.
size_t ceralacca_base64(const uint8_t *bytes, size_t count, uint8_t *out);
/// Converts `count` bytes of `charset` to UTF-8 with '?' for what cannot be converted. Returns the length written, or -1 for an unknown charset.
ptrdiff_t ceralacca_to_utf8(const char *charset, const uint8_t *bytes, size_t count, uint8_t *out, size_t room);
/// 1 when `password` matches `hash` by crypt(3), 0 when not, -1 when the scheme is unknown to this system.
int ceralacca_crypt_matches(const char *password, const char *hash);
/// Makes a salted hash of `password` by crypt(3) with a setting such as "$6$"; 0, or -1.
int ceralacca_crypt_make(const char *password, const char *prefix, char *out, size_t room);
/// pwritev that goes on after a short write. 0, or the negative errno.
int ceralacca_write_all(int descriptor, const struct iovec *pieces, int count, off_t offset);
/// Allocates blocks up to `length` without changing what is there. 0, or the negative errno.
int ceralacca_allocate(int descriptor, off_t length);
/// Begins to write the file's changed pages to the disk, without waiting (sync_file_range). 0, or the negative errno.
int ceralacca_begin_sync(int descriptor);
/// Sets SO_REUSEPORT. 0, or the negative errno.
int ceralacca_set_reuse_port(int descriptor);
/// Names the calling thread (15 bytes at the most), for top and gdb.
void ceralacca_name_thread(const char *name);
/// Fills `bytes` from the system's random source. 0, or the negative errno.
int ceralacca_random(uint8_t *bytes, size_t count);
/// Offset of local time from UTC at `unixSeconds`, in seconds, by the system's time zone.
long ceralacca_utc_offset(int64_t unix_seconds);
/// Raises the soft limit of open descriptors to the hard one. The limit in force after, or the negative errno.
long ceralacca_raise_descriptors(void);
/// Sets the time zone of this process, unless the environment variable TZ names one.
void ceralacca_default_zone(const char *name);
/// The current errno.
int ceralacca_errno(void);
