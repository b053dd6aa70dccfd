// The types and numbers of PKCS#11 2.40 (package libp11-kit-dev). The header alone: nothing is linked, the module that the operator
// names is loaded at run time and called through its own list of functions.
#pragma once
#include <p11-kit-1/p11-kit/pkcs11.h>
