// What the Signing room needs of OpenSSL about revocation lists (RFC 5280 §5) and the content inside a SignedData.
// "Borrowed" means: owned by the argument it comes from, and void with it.
#pragma once
#include <openssl/asn1.h>
#include <openssl/cms.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include "cms.h"

/// The content of a SignedData; borrowed. Returns its length, or -1 when there is none.
static inline long ceralacca_content(CMS_ContentInfo *cms, const unsigned char **start) {
  ASN1_OCTET_STRING **content = CMS_get0_content(cms);
  if (!content || !*content) return -1;
  *start = ASN1_STRING_get0_data(*content);
  return ASN1_STRING_length(*content);
}

/// The URI at `at` of a list of names, or NULL when that entry is something else. Borrowed.
static inline const ASN1_STRING *ceralacca_names_uri(const GENERAL_NAMES *names, int at) {
  const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, at);
  return name && name->type == GEN_URI ? name->d.uniformResourceIdentifier : NULL;
}

static inline int ceralacca_points_count(const CRL_DIST_POINTS *points) { return points ? sk_DIST_POINT_num(points) : 0; }
/// Full names of the distribution point at `at`, or NULL. Borrowed.
static inline const GENERAL_NAMES *ceralacca_points_names(const CRL_DIST_POINTS *points, int at) {
  const DIST_POINT *point = sk_DIST_POINT_value(points, at);
  return point && point->distpoint && point->distpoint->type == 0 ? point->distpoint->name.fullname : NULL;
}
static inline void ceralacca_points_free(CRL_DIST_POINTS *points) { CRL_DIST_POINTS_free(points); }

static inline int ceralacca_list_entries(X509_CRL *list) {
  STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(list);
  return entries ? sk_X509_REVOKED_num(entries) : 0;
}

/// OpenSSL's number of the digest that a list is signed with; NID_undef when the algorithm does not say.
static inline int ceralacca_list_digest(const X509_CRL *list) {
  int digest = NID_undef, key = NID_undef;
  return OBJ_find_sigid_algs(X509_CRL_get_signature_nid(list), &digest, &key) ? digest : NID_undef;
}

/// 1 when the list has an extension that changes its meaning in a way not known here: a delta, or anything critical but the
/// issuing distribution point (RFC 5280 §5.2).
static inline int ceralacca_list_has_unknown(const X509_CRL *list) {
  if (X509_CRL_get_ext_by_NID(list, NID_delta_crl, -1) >= 0) return 1;
  for (int at = 0; at < X509_CRL_get_ext_count(list); at++) {
    X509_EXTENSION *extension = X509_CRL_get_ext(list, at);
    if (!X509_EXTENSION_get_critical(extension)) continue;
    int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
    if (nid != NID_issuing_distribution_point && nid != NID_authority_key_identifier && nid != NID_crl_number) return 1;
  }
  return 0;
}

/// The issuing distribution point (RFC 5280 §5.2.5); to be freed by the caller. `broken` is 1 when there is one and it cannot be read.
static inline ISSUING_DIST_POINT *ceralacca_list_point(const X509_CRL *list, int *broken) {
  int critical = -1;
  ISSUING_DIST_POINT *point = X509_CRL_get_ext_d2i(list, NID_issuing_distribution_point, &critical, NULL);
  *broken = !point && critical != -1;
  return point;
}
/// Its full names, or NULL. Borrowed.
static inline const GENERAL_NAMES *ceralacca_list_point_names(const ISSUING_DIST_POINT *point) {
  return point->distpoint && point->distpoint->type == 0 ? point->distpoint->name.fullname : NULL;
}

/// Looks for a serial number: 1 with the time and the reason (-1: none given), 0 when it is not there, -1 when the entry's time
/// cannot be read. The time is the earlier one of revocation and invalidity (RFC 5280 §5.3.2).
static inline int ceralacca_list_find(X509_CRL *list, const ASN1_INTEGER *serial, int64_t *when, int *reason) {
  X509_REVOKED *entry = NULL;
  // 2 stands for an entry that takes a revocation back.
  if (X509_CRL_get0_by_serial(list, &entry, (ASN1_INTEGER *)serial) != 1 || !entry) return 0;
  ASN1_ENUMERATED *code = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
  *reason = code ? (int)ASN1_ENUMERATED_get(code) : -1;
  ASN1_ENUMERATED_free(code);
  int known = ceralacca_time_unix(X509_REVOKED_get0_revocationDate(entry), when);
  ASN1_GENERALIZEDTIME *invalid = X509_REVOKED_get_ext_d2i(entry, NID_invalidity_date, NULL, NULL);
  int64_t since = 0;
  if (invalid && ceralacca_time_unix(invalid, &since) && (!known || since < *when)) {
    *when = since;
    known = 1;
  }
  ASN1_GENERALIZEDTIME_free(invalid);
  return known ? 1 : -1;
}
