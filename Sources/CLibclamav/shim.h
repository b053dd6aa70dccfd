// libclamav, static inline wrappers for what Swift cannot import of it (its options are macros), and the few calls of the system that
// the scanner's processes need.
#pragma once
#include <clamav.h>
#include <errno.h>
#include <iconv.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "processes.h"

/// What of a database is loaded: all that clamd loads by default, and with `unwanted` the signatures of possibly unwanted programs.
static inline unsigned ceralacca_clam_database_options(int unwanted) { return CL_DB_STDOPT | (unwanted ? CL_DB_PUA : 0); }

/// How to scan: every format is parsed, and a limit that was reached is told of. `all` goes on after a match, and tells of all.
static inline struct cl_scan_options ceralacca_clam_scan_options(int heuristics, int encrypted, int all) {
  struct cl_scan_options options;
  memset(&options, 0, sizeof options);
  options.general = (heuristics ? CL_SCAN_GENERAL_HEURISTICS : 0) | (all ? CL_SCAN_GENERAL_ALLMATCHES : 0);
  options.parse = ~0U;
  options.heuristic = CL_SCAN_HEURISTIC_EXCEEDS_MAX;
  if (encrypted) options.heuristic |= CL_SCAN_HEURISTIC_ENCRYPTED_ARCHIVE | CL_SCAN_HEURISTIC_ENCRYPTED_DOC;
  return options;
}

/// Opens the character sets that libclamav (entconv.c) and libxml2 may ask for, and keeps them: a confined worker can load no module of
/// the C library's any more. Returns how many there are; those that the system does not have are left out, as libclamav does.
static inline int ceralacca_clam_warm_character_sets(void) {
  static const char *const names[] = {
      "ASMO_449", "BIG5", "BIG5-HKSCS", "CP037", "CP1025", "CP1250", "CP1251", "CP1252", "CP1253", "CP1254", "CP1255", "CP1256",
      "CP1257", "CP1258", "CP437", "CP737", "CP775", "CP850", "CP852", "CP855", "CP857", "CP858", "CP860", "CP861", "CP862", "CP863",
      "CP864", "CP865", "CP866", "CP869", "CP874", "CP875", "CP932", "CP936", "CP949", "CP950", "EUC-CN", "EUC-JP", "EUC-KR", "EUC-TW",
      "GB18030", "GB2312", "GBK", "IBM037", "IBM1026", "IBM1047", "IBM273", "IBM277", "IBM278", "IBM280", "IBM284", "IBM285", "IBM290",
      "IBM297", "IBM420", "IBM423", "IBM424", "IBM437", "IBM500", "IBM775", "IBM850", "IBM852", "IBM855", "IBM857", "IBM860", "IBM861",
      "IBM863", "IBM864", "IBM865", "IBM869", "IBM870", "IBM871", "IBM880", "IBM905", "ISO-10646/UCS2", "ISO-10646/UCS4",
      "ISO-10646/UTF8", "ISO-2022-CN", "ISO-2022-JP", "ISO-2022-JP-2", "ISO-2022-JP-3", "ISO-2022-KR", "ISO-8859-1", "ISO-8859-10",
      "ISO-8859-11", "ISO-8859-13", "ISO-8859-14", "ISO-8859-15", "ISO-8859-16", "ISO-8859-2", "ISO-8859-3", "ISO-8859-4",
      "ISO-8859-5", "ISO-8859-6", "ISO-8859-7", "ISO-8859-8", "ISO-8859-9", "JOHAB", "KOI8-R", "KOI8-U", "MACINTOSH", "SHIFT_JIS",
      "TIS-620", "UCS-2", "UCS-2BE", "UCS-2LE", "UCS-4", "UCS-4BE", "UCS-4LE", "US-ASCII", "UTF-16", "UTF-16BE", "UTF-16LE", "UTF-32",
      "UTF-32BE", "UTF-32LE", "UTF-7", "WINDOWS-31J", "WINDOWS-874"};
  int count = 0;
  for (size_t at = 0; at < sizeof names / sizeof *names; at++) {
    // Never closed: the C library lets a module go with its last user.
    iconv_t set = iconv_open("UTF-8//TRANSLIT", names[at]);
    if (set != (iconv_t)-1) count++;
  }
  return count;
}

/// SHA-256 of an open file into `out` (32 octets): 0, or -1.
static inline int ceralacca_clam_digest(int descriptor, unsigned char *out) {
  unsigned length = 0;
  unsigned char *digest = cl_hash_file_fd(descriptor, "sha256", &length);
  int failure = !digest || length != SHA256_HASH_SIZE;
  if (!failure) memcpy(out, digest, SHA256_HASH_SIZE);
  free(digest);
  return failure ? -1 : 0;
}

/// Gives free memory back to the system.
static inline void ceralacca_trim_memory(void) { malloc_trim(0); }

/// Where `wanted` (one octet or more) begins in `octets` at `from` or after; -1 when it does not.
static inline long ceralacca_find(const void *octets, size_t count, size_t from, const void *wanted, size_t wanted_count) {
  const char *start = (const char *)octets;
  while (from < count && count - from >= wanted_count) {
    const char *found = (const char *)memchr(start + from, *(const char *)wanted, count - from - wanted_count + 1);
    if (!found) return -1;
    if (memcmp(found, wanted, wanted_count) == 0) return (long)(found - start);
    from = (size_t)(found - start) + 1;
  }
  return -1;
}
