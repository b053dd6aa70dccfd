// OpenSSL 3 and static inline wrappers for what Swift cannot import (macros, variadics, stack accessors).
#pragma once
#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include "cms.h"
#include "crl.h"
#include "tls.h"
#include "tlsserver.h"
#include "tst.h"
