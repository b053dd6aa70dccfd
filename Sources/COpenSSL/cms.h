// What the Signing room and the laboratory's certificates need of OpenSSL and Swift cannot import: macros, typed stacks, unions.
// "Borrowed" means: owned by the argument it comes from, and void with it.
#pragma once
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/// What a memory BIO holds; borrowed. Returns the length.
static inline long ceralacca_bio_contents(BIO *bio, const unsigned char **start) {
  char *data = NULL;
  long count = BIO_get_mem_data(bio, &data);
  *start = (const unsigned char *)data;
  return data ? count : 0;
}

/// OPENSSL_free.
static inline void ceralacca_openssl_free(void *memory) { OPENSSL_free(memory); }
/// OPENSSL_clear_free: zeroes `count` octets first.
static inline void ceralacca_openssl_clear_free(void *memory, size_t count) { OPENSSL_clear_free(memory, count); }

static inline int ceralacca_certificates_count(const STACK_OF(X509) *list) { return list ? sk_X509_num(list) : 0; }
/// Borrowed.
static inline X509 *ceralacca_certificates_at(const STACK_OF(X509) *list, int at) { return sk_X509_value(list, at); }
/// An empty list, for `ceralacca_certificates_free`.
static inline STACK_OF(X509) *ceralacca_certificates_new(void) { return sk_X509_new_null(); }
/// Adds a reference of its own. 1, or 0.
static inline int ceralacca_certificates_add(STACK_OF(X509) *list, X509 *certificate) {
  return X509_add_cert(list, certificate, X509_ADD_FLAG_UP_REF);
}
/// Frees the list and its references.
static inline void ceralacca_certificates_free(STACK_OF(X509) *list) { sk_X509_pop_free(list, X509_free); }

static inline int ceralacca_signers_count(CMS_ContentInfo *cms) {
  STACK_OF(CMS_SignerInfo) *signers = CMS_get0_SignerInfos(cms);
  return signers ? sk_CMS_SignerInfo_num(signers) : 0;
}
/// Borrowed.
static inline CMS_SignerInfo *ceralacca_signer_at(CMS_ContentInfo *cms, int at) {
  return sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), at);
}
/// The algorithms of a SignerInfo, as OpenSSL's numbers.
static inline void ceralacca_signer_algorithms(CMS_SignerInfo *signer, int *digest, int *signature) {
  X509_ALGOR *digest_algorithm = NULL, *signature_algorithm = NULL;
  CMS_SignerInfo_get0_algs(signer, NULL, NULL, &digest_algorithm, &signature_algorithm);
  *digest = digest_algorithm ? OBJ_obj2nid(digest_algorithm->algorithm) : NID_undef;
  *signature = signature_algorithm ? OBJ_obj2nid(signature_algorithm->algorithm) : NID_undef;
}
/// The single value of a signed attribute that stands exactly once, when it is of `type`; else NULL. Borrowed.
static inline const void *ceralacca_signed_attribute(CMS_SignerInfo *signer, int nid, int type) {
  return CMS_signed_get0_data_by_OBJ(signer, OBJ_nid2obj(nid), -3, type);
}
/// 1 when the content of a SignedData is inside it.
static inline int ceralacca_has_content(CMS_ContentInfo *cms) {
  ASN1_OCTET_STRING **content = CMS_get0_content(cms);
  return content && *content;
}

/// Entries of a subjectAltName.
static inline int ceralacca_names_count(const GENERAL_NAMES *names) { return names ? sk_GENERAL_NAME_num(names) : 0; }
/// The mail address at `at`, or NULL when that entry is something else. Borrowed.
static inline const ASN1_STRING *ceralacca_names_mail(const GENERAL_NAMES *names, int at) {
  const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, at);
  return name && name->type == GEN_EMAIL ? name->d.rfc822Name : NULL;
}

/// Prints a name as "C=IT, O=Alfa, CN=Posta Certificata" in UTF-8, control characters escaped. 1, or 0.
static inline int ceralacca_print_name(BIO *out, const X509_NAME *name) {
  unsigned long flags = (ASN1_STRFLGS_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) | XN_FLAG_SEP_CPLUS_SPC | XN_FLAG_FN_SN;
  return X509_NAME_print_ex(out, name, 0, flags) >= 0;
}

/// Seconds since 1970 of an X.509 or CMS time. 1, or 0 when there is none or it is not a time.
static inline int ceralacca_time_unix(const ASN1_TIME *time, int64_t *seconds) {
  struct tm parts;
  memset(&parts, 0, sizeof parts);
  // Without the check of NULL OpenSSL would answer with the present time.
  if (!time || ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  *seconds = (int64_t)timegm(&parts);
  return 1;
}

/// Adds an extension given in OpenSSL's configuration syntax. 1, or 0.
static inline int ceralacca_add_extension(X509 *certificate, X509 *issuer, int nid, const char *value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
  if (!extension) return 0;
  int added = X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  return added;
}
