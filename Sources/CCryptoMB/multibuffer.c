#include "CCryptoMB.h"

// Defined by the manifest when the library is there; it exists for x86-64 alone.
#if defined(CERALACCA_CRYPTO_MB) && defined(__x86_64__)

// Its functions over OpenSSL's numbers are not used: ours lie in the memory for keys already.
#define BN_OPENSSL_DISABLE
#include <cpuid.h>
#include <crypto_mb/cpu_features.h>
#include <crypto_mb/rsa.h>
#include <crypto_mb/status.h>
#include <crypto_mb/version.h>
#include <string.h>

enum { lanes_of_batch = 8, stack_bytes = 16384 };

#define CERALACCA_TEXT_OF(number) #number
#define CERALACCA_TEXT(number) CERALACCA_TEXT_OF(number)

const char *ceralacca_mb_version(void) {
  return CERALACCA_TEXT(MBX_VER_MAJOR) "." CERALACCA_TEXT(MBX_VER_MINOR) "." CERALACCA_TEXT(MBX_VER_PATCH);
}

/// VPERMB turns octets about in the library's conversions, and the library does not ask whether the processor has it.
static int has_vbmi(void) {
  unsigned int a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & (1u << 1));
}

int ceralacca_mb_is_applicable(int bits) {
  int64u features = mbx_get_cpu_features();
  // The library also has code for AVX-IFMA, with registers half as wide: nothing is known of what that would gain.
  if ((features & MBX_AVX512_GENERAL_ISA) != MBX_AVX512_GENERAL_ISA || !has_vbmi()) return 0;
  if (!mbx_is_crypto_mb_applicable(features)) return 0;
  switch (bits) {
  case 2048: return (mbx_get_algo_info(MBX_ALGO_RSA_2K) & MBX_WIDTH_MB8) != 0;
  case 3072: return (mbx_get_algo_info(MBX_ALGO_RSA_3K) & MBX_WIDTH_MB8) != 0;
  case 4096: return (mbx_get_algo_info(MBX_ALGO_RSA_4K) & MBX_WIDTH_MB8) != 0;
  default: return 0;
  }
}

/// Overwrites the stack below its caller. The library wipes its arrays, and leaves what the compiler put aside: digits of a prime were
/// found there, in the first 5 KB.
__attribute__((noinline)) static void wipe_stack(void) {
  unsigned char below[stack_bytes];
  memset(below, 0, sizeof below);
  __asm__ volatile("" : : "r"(below) : "memory");
}

size_t ceralacca_mb_scratch_bytes(int bits) {
  const mbx_RSA_Method *method = mbx_RSA_private_crt_Method(bits);
  int bytes = method ? mbx_RSA_Method_BufSize(method) : 0;
  return bytes > 0 ? (size_t)bytes : 0;
}

uint32_t ceralacca_mb_raise(
    int bits, int lanes, const uint8_t *from, uint8_t *to, const ceralacca_mb_numbers *key, uint8_t *scratch) {
  const mbx_RSA_Method *method = mbx_RSA_private_crt_Method(bits);
  if (!method || lanes < 1 || lanes > lanes_of_batch) return 0;
  // Lanes that are not filled stay NULL: the library leaves them out and says so in their status.
  const int8u *from_lanes[8] = {0};
  int8u *to_lanes[8] = {0};
  const int64u *p[8] = {0}, *q[8] = {0}, *dp[8] = {0}, *dq[8] = {0}, *qinv[8] = {0};
  for (int lane = 0; lane < lanes; lane++) {
    from_lanes[lane] = from + (size_t)lane * (size_t)(bits / 8);
    to_lanes[lane] = to + (size_t)lane * (size_t)(bits / 8);
    p[lane] = (const int64u *)key->p;
    q[lane] = (const int64u *)key->q;
    dp[lane] = (const int64u *)key->dp;
    dq[lane] = (const int64u *)key->dq;
    qinv[lane] = (const int64u *)key->qinv;
  }
  mbx_status status = mbx_rsa_private_crt_mb8(from_lanes, to_lanes, p, q, dp, dq, qinv, bits, method, scratch);
  wipe_stack();
  uint32_t made = 0;
  for (int lane = 0; lane < lanes; lane++)
    if (MBX_GET_STS(status, lane) == MBX_STATUS_OK) made |= 1u << lane;
  return made;
}

#else

const char *ceralacca_mb_version(void) { return NULL; }

int ceralacca_mb_is_applicable(int bits) {
  (void)bits;
  return 0;
}

size_t ceralacca_mb_scratch_bytes(int bits) {
  (void)bits;
  return 0;
}

uint32_t ceralacca_mb_raise(
    int bits, int lanes, const uint8_t *from, uint8_t *to, const ceralacca_mb_numbers *key, uint8_t *scratch) {
  (void)bits, (void)lanes, (void)from, (void)to, (void)key, (void)scratch;
  return 0;
}

#endif
