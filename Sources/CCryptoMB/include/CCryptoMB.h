// Multi-buffer RSA: up to eight signatures with one key, each in a lane of the processor's AVX-512 registers, by `crypto_mb` of Intel
// Cryptography Primitives. A build without that library (Appliance/crypto-mb) has these functions too: they say that it is not there.
#ifndef CERALACCA_CCRYPTOMB_H
#define CERALACCA_CCRYPTOMB_H

#include <stddef.h>
#include <stdint.h>

/// The private numbers of a key (RFC 8017 §3.2), each in words of 64 bits, the lowest first. Borrowed for the call.
typedef struct {
  const uint64_t *p;
  const uint64_t *q;
  const uint64_t *dp;
  const uint64_t *dq;
  const uint64_t *qinv;
} ceralacca_mb_numbers;

/// The library's version, "2.3.0" for example; NULL when this build has none. Never freed.
const char *ceralacca_mb_version(void);

/// 1 when this processor, and its operating system, can sign eight at once with keys of so many bits.
int ceralacca_mb_is_applicable(int bits);

/// Octets of memory that a call for keys of so many bits works in; 0 when there is no such call.
size_t ceralacca_mb_scratch_bytes(int bits);

/// Raises `lanes` (1 to 8) numbers of `bits` / 8 octets each, the highest octet first and one behind the other in `from`, to the private
/// exponent by CRT; what comes out is laid into `to` likewise. What is left in `scratch` the caller wipes: it depends on the key.
///
/// Returns a bit for each lane that was calculated, the first lane's the lowest. All numbers are less than the modulus.
uint32_t ceralacca_mb_raise(
    int bits, int lanes, const uint8_t *from, uint8_t *to, const ceralacca_mb_numbers *key, uint8_t *scratch);

#endif
