// What the TimeStamping room needs of OpenSSL (RFC 3161, RFC 5035) and Swift cannot import or should not put together itself.
// "Borrowed" means: owned by the argument it comes from, and void with it.
#pragma once
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/ess.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/ts.h>
#include <openssl/x509.h>
#include <stdint.h>
#include "cms.h"

/// The DER of a signed attribute whose value is a SEQUENCE and that stands exactly once, or NULL. Borrowed.
static inline const ASN1_STRING *ceralacca_ts_attribute(CMS_SignerInfo *signer, int nid) {
  return (const ASN1_STRING *)ceralacca_signed_attribute(signer, nid, V_ASN1_SEQUENCE);
}

/// Whether the signer signed for the first certificate of this path (RFC 5035 §3, §5.4): 1, or 0 with the reason in the error queue.
/// A signature that names no certificate is none of a time stamp.
static inline int ceralacca_ts_names_path(CMS_SignerInfo *signer, const STACK_OF(X509) *path) {
  const ASN1_STRING *first = ceralacca_ts_attribute(signer, NID_id_smime_aa_signingCertificate);
  const ASN1_STRING *second = ceralacca_ts_attribute(signer, NID_id_smime_aa_signingCertificateV2);
  ESS_SIGNING_CERT *one = NULL;
  ESS_SIGNING_CERT_V2 *two = NULL;
  int fine = 1;
  if (first) {
    const unsigned char *at = ASN1_STRING_get0_data(first);
    fine = (one = d2i_ESS_SIGNING_CERT(NULL, &at, ASN1_STRING_length(first))) != NULL;
  }
  if (fine && second) {
    const unsigned char *at = ASN1_STRING_get0_data(second);
    fine = (two = d2i_ESS_SIGNING_CERT_V2(NULL, &at, ASN1_STRING_length(second))) != NULL;
  }
  fine = fine && OSSL_ESS_check_signing_certs(one, two, path, 1) == 1;
  ESS_SIGNING_CERT_free(one);
  ESS_SIGNING_CERT_V2_free(two);
  return fine;
}

/// The rules for a path: time in seconds since 1970, purpose, anchors that need not vouch for themselves, 112 bits of strength.
static inline void ceralacca_ts_path_rules(X509_STORE_CTX *context, int64_t seconds) {
  X509_VERIFY_PARAM *rules = X509_STORE_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_time(rules, (time_t)seconds);
  X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_auth_level(rules, 2);
  X509_VERIFY_PARAM_set_purpose(rules, X509_PURPOSE_TIMESTAMP_SIGN);
}

/// What an answer says, for the callbacks of its making.
struct ceralacca_ts_moment {
  int64_t seconds;
  const unsigned char *serial;
  int serial_bytes;
};

static inline int ceralacca_ts_tell_time(struct TS_resp_ctx *context, void *data, long *seconds, long *microseconds) {
  (void)context;
  *seconds = (long)((struct ceralacca_ts_moment *)data)->seconds;
  *microseconds = 0;
  return 1;
}

static inline ASN1_INTEGER *ceralacca_ts_tell_serial(struct TS_resp_ctx *context, void *data) {
  (void)context;
  struct ceralacca_ts_moment *moment = (struct ceralacca_ts_moment *)data;
  BIGNUM *number = BN_bin2bn(moment->serial, moment->serial_bytes, NULL);
  ASN1_INTEGER *serial = number ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
  BN_free(number);
  return serial;
}

/// Answers a request as a time stamp authority does (RFC 3161 §2.4.2), in DER that the caller frees with ceralacca_openssl_free.
/// A request that is no good gets a rejection. Returns the length, or 0 with the reason in the error queue.
static inline int ceralacca_ts_answer(
    X509 *certificate, EVP_PKEY *key, STACK_OF(X509) *chain, const char *policy, const unsigned char *request, int count,
    struct ceralacca_ts_moment *moment, unsigned char **out) {
  int length = 0;
  TS_RESP *response = NULL;
  TS_RESP_CTX *context = TS_RESP_CTX_new();
  ASN1_OBJECT *object = OBJ_txt2obj(policy, 1);
  BIO *input = BIO_new_mem_buf(request, count);
  *out = NULL;
  if (!context || !object || !input) goto end;
  TS_RESP_CTX_set_time_cb(context, ceralacca_ts_tell_time, moment);
  TS_RESP_CTX_set_serial_cb(context, ceralacca_ts_tell_serial, moment);
  if (!TS_RESP_CTX_set_signer_cert(context, certificate) || !TS_RESP_CTX_set_signer_key(context, key)
      || !TS_RESP_CTX_set_certs(context, chain) || !TS_RESP_CTX_set_def_policy(context, object)
      || !TS_RESP_CTX_set_signer_digest(context, EVP_sha256()) || !TS_RESP_CTX_set_ess_cert_id_digest(context, EVP_sha256())
      || !TS_RESP_CTX_add_md(context, EVP_sha256()) || !TS_RESP_CTX_add_md(context, EVP_sha384())
      || !TS_RESP_CTX_add_md(context, EVP_sha512()) || !TS_RESP_CTX_set_accuracy(context, 1, 0, 0))
    goto end;
  response = TS_RESP_create_response(context, input);
  if (response) length = i2d_TS_RESP(response, out);
  if (length < 0) length = 0;
end:
  TS_RESP_free(response);
  BIO_free(input);
  ASN1_OBJECT_free(object);
  TS_RESP_CTX_free(context);
  return length;
}
