#define _GNU_SOURCE
#include "CPlatform.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

ptrdiff_t ceralacca_find_byte(const uint8_t *bytes, size_t count, uint8_t byte) {
  const uint8_t *hit = count ? memchr(bytes, byte, count) : NULL;
  return hit ? hit - bytes : -1;
}

int ceralacca_terminal_columns(int descriptor) {
  struct winsize size;
  return ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

ptrdiff_t ceralacca_find_bytes(const uint8_t *bytes, size_t count, const uint8_t *needle, size_t needle_count) {
  if (needle_count == 0 || count < needle_count) return -1;
  const uint8_t *hit = memmem(bytes, count, needle, needle_count);
  return hit ? hit - bytes : -1;
}

int ceralacca_has_high_bit(const uint8_t *bytes, size_t count) {
  uint64_t any = 0;
  size_t at = 0;
  for (; at + 8 <= count; at += 8) {
    uint64_t word;
    memcpy(&word, bytes + at, 8);
    any |= word;
  }
  for (; at < count; at++) any |= bytes[at];
  return (any & 0x8080808080808080ULL) != 0;
}

static uint32_t crc32c_plain(uint32_t crc, const uint8_t *bytes, size_t count) {
  for (size_t at = 0; at < count; at++) {
    crc ^= bytes[at];
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78U & (0U - (crc & 1U)));
  }
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse(uint32_t crc, const uint8_t *bytes, size_t count) {
  uint64_t wide = crc;
  size_t at = 0;
  for (; at + 8 <= count; at += 8) {
    uint64_t word;
    memcpy(&word, bytes + at, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = (uint32_t)wide;
  for (; at < count; at++) crc = _mm_crc32_u8(crc, bytes[at]);
  return crc;
}
#endif

uint32_t ceralacca_crc32c(uint32_t crc, const uint8_t *bytes, size_t count) {
  crc = ~crc;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return ~crc32c_sse(crc, bytes, count);
#endif
  return ~crc32c_plain(crc, bytes, count);
}

size_t ceralacca_base64(const uint8_t *bytes, size_t count, uint8_t *out) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint8_t *start = out;
  size_t at = 0;
  for (; at + 3 <= count; at += 3) {
    uint32_t three = (uint32_t)bytes[at] << 16 | (uint32_t)bytes[at + 1] << 8 | bytes[at + 2];
    *out++ = alphabet[three >> 18];
    *out++ = alphabet[three >> 12 & 63];
    *out++ = alphabet[three >> 6 & 63];
    *out++ = alphabet[three & 63];
  }
  if (at < count) {
    uint32_t three = (uint32_t)bytes[at] << 16 | (at + 1 < count ? (uint32_t)bytes[at + 1] << 8 : 0);
    *out++ = alphabet[three >> 18];
    *out++ = alphabet[three >> 12 & 63];
    *out++ = at + 1 < count ? alphabet[three >> 6 & 63] : '=';
    *out++ = '=';
  }
  return (size_t)(out - start);
}

ptrdiff_t ceralacca_to_utf8(const char *charset, const uint8_t *bytes, size_t count, uint8_t *out, size_t room) {
  iconv_t converter = iconv_open("UTF-8", charset);
  if (converter == (iconv_t)-1) return -1;
  char *in = (char *)bytes, *to = (char *)out;
  size_t left = count, space = room;
  while (left > 0 && space > 0) {
    if (iconv(converter, &in, &left, &to, &space) != (size_t)-1) break;
    if (errno == E2BIG || space == 0) break;
    // An octet that means nothing in this charset: one question mark for it, and on.
    *to++ = '?';
    space--;
    in++;
    left--;
  }
  iconv(converter, NULL, NULL, &to, &space);
  iconv_close(converter);
  return (ptrdiff_t)(room - space);
}

int ceralacca_crypt_matches(const char *password, const char *hash) {
  struct crypt_data *data = calloc(1, sizeof *data);
  if (!data) return -1;
  const char *made = crypt_r(password, hash, data);
  int verdict = -1;
  if (made && made[0] != '*') {
    // Constant time over the stored hash's length: no hint of how much of it matched.
    size_t length = strlen(hash);
    unsigned char difference = strlen(made) != length;
    for (size_t at = 0; at < length && !(difference && strlen(made) != length); at++)
      difference |= (unsigned char)(made[at] ^ hash[at]);
    verdict = difference == 0;
  }
  explicit_bzero(data, sizeof *data);
  free(data);
  return verdict;
}

int ceralacca_crypt_make(const char *password, const char *prefix, char *out, size_t room) {
  struct crypt_data *data = calloc(1, sizeof *data);
  if (!data) return -1;
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  int verdict = -1;
  if (crypt_gensalt_rn(prefix, 0, NULL, 0, setting, sizeof setting)) {
    const char *made = crypt_r(password, setting, data);
    if (made && made[0] != '*' && strlen(made) < room) {
      strcpy(out, made);
      verdict = 0;
    }
  }
  explicit_bzero(data, sizeof *data);
  free(data);
  return verdict;
}

int ceralacca_write_all(int descriptor, const struct iovec *pieces, int count, off_t offset) {
  int at = 0;
  size_t skipped = 0;
  while (at < count) {
    struct iovec batch[64];
    int filled = 0;
    for (int next = at; next < count && filled < 64; next++, filled++) {
      batch[filled] = pieces[next];
      if (next == at) {
        batch[filled].iov_base = (char *)batch[filled].iov_base + skipped;
        batch[filled].iov_len -= skipped;
      }
    }
    ssize_t written = pwritev(descriptor, batch, filled, offset);
    if (written < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    offset += written;
    for (int done = 0; done < filled; done++) {
      if ((size_t)written < batch[done].iov_len) {
        skipped += (size_t)written;
        written = -1;
        break;
      }
      written -= (ssize_t)batch[done].iov_len;
      at++;
      skipped = 0;
    }
  }
  return 0;
}

int ceralacca_allocate(int descriptor, off_t length) { return -posix_fallocate(descriptor, 0, length); }

int ceralacca_begin_sync(int descriptor) { return sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE) == 0 ? 0 : -errno; }

int ceralacca_set_reuse_port(int descriptor) {
  int on = 1;
  return setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 ? 0 : -errno;
}

void ceralacca_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int ceralacca_random(uint8_t *bytes, size_t count) {
  while (count > 0) {
    ssize_t got = getrandom(bytes, count, 0);
    if (got < 0 && errno != EINTR) return -errno;
    if (got > 0) {
      bytes += got;
      count -= (size_t)got;
    }
  }
  return 0;
}

long ceralacca_utc_offset(int64_t unix_seconds) {
  time_t at = (time_t)unix_seconds;
  struct tm parts;
  return localtime_r(&at, &parts) ? parts.tm_gmtoff : 0;
}

long ceralacca_raise_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -errno;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -errno;
  return limit.rlim_cur > LONG_MAX ? LONG_MAX : (long)limit.rlim_cur;
}

void ceralacca_default_zone(const char *name) {
  setenv("TZ", name, 0);
  tzset();
}

int ceralacca_errno(void) { return errno; }
